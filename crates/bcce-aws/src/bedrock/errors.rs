//! What the SDK reports -> what the domain calls it.

use std::error::Error;
use std::io;

use aws_sdk_bedrockruntime::error::SdkError;
use aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamError;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bcce_core::classify::{ServiceError, advice, classify, misfit};
use bcce_core::error::ErrorName;
use bcce_core::limits::{MAX_MESSAGE_CHARS, cut};
use bcce_core::ports::{Blame, CallFailure};

use super::heard::Heard;

/// The call did not get as far as a stream.
pub(super) fn refused(
    error: &SdkError<ConverseStreamError, HttpResponse>,
    heard: &mut Heard,
) -> CallFailure {
    match error {
        SdkError::ServiceError(service) => {
            heard.refused();
            let (inner, response) = (service.err(), service.raw());
            let (code, message) = (inner.code(), inner.message().unwrap_or_default());
            let status = Some(response.status().as_u16());
            let name = classify(ServiceError { code, status, message });
            let blame = misfit(name, message).map_or(blame(name), Blame::Fit);
            let code = code.unwrap_or("no error code");
            let told = advice(code, message).unwrap_or(message);
            let message =
                cut(&format!("{code} ({}): {told}", response.status().as_u16()), MAX_MESSAGE_CHARS);
            CallFailure { name, message, retry_after_s: retry_after(response), blame }
        }
        SdkError::ConstructionFailure(_) => {
            heard.refused();
            failure(ErrorName::Internal, "the request could not be built")
        }
        SdkError::DispatchFailure(connector) => {
            let connector = connector.as_connector_error();
            if connector.is_some_and(never_connected) {
                heard.refused();
                return failure(ErrorName::TargetUnavailable, "no connection");
            }
            failure(ErrorName::TargetUnavailable, "the connection broke before an answer")
        }
        SdkError::TimeoutError(_) => failure(ErrorName::TargetTimeout, "no answer in time"),
        _ => failure(ErrorName::TargetBroken, "the response could not be read"),
    }
}

/// The stream ended in an error, or could not be read on.
pub(super) fn broken_off<R>(error: &SdkError<ConverseStreamOutputError, R>) -> CallFailure {
    let Some(inner) = error.as_service_error() else {
        return failure(ErrorName::TargetBroken, "the stream broke off");
    };
    let message = inner.message().unwrap_or_default();
    let code = stream_code(inner);
    let name = classify(ServiceError { code: Some(code), status: None, message });
    let blame = misfit(name, message).map_or(blame(name), Blame::Fit);
    CallFailure { blame, ..failure(name, &format!("{code} in the stream: {message}")) }
}

/// What the service itself calls a failure of the model is one over this request; another may do well.
fn blame(name: ErrorName) -> Blame {
    if name == ErrorName::TargetBroken { Blame::Request } else { Blame::Target }
}

/// The code of an error inside a stream is not in its metadata, only in its variant.
fn stream_code(error: &ConverseStreamOutputError) -> &str {
    use ConverseStreamOutputError as E;
    match error {
        E::InternalServerException(_) => "internalServerException",
        E::ModelStreamErrorException(_) => "modelStreamErrorException",
        E::ValidationException(_) => "validationException",
        E::ThrottlingException(_) => "throttlingException",
        E::ServiceUnavailableException(_) => "serviceUnavailableException",
        other => other.code().unwrap_or("modelStreamErrorException"),
    }
}

fn failure(name: ErrorName, message: &str) -> CallFailure {
    let message = cut(message, MAX_MESSAGE_CHARS);
    CallFailure { name, message, retry_after_s: None, blame: Blame::Target }
}

/// Nothing was sent, so nothing was used. A reset after sending is another matter.
fn never_connected(error: &ConnectorError) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = source {
        let kind = inner.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(ConnectionRefused | HostUnreachable | NetworkUnreachable)) {
            return true;
        }
        source = inner.source();
    }
    error.is_timeout()
}

/// In seconds. The date form is not used by AWS.
fn retry_after(response: &HttpResponse) -> Option<u64> {
    let seconds =
        |name: &str| response.headers().get(name).and_then(|value| value.parse::<f64>().ok());
    let millis = seconds("x-amz-retry-after").map(|ms| ms / 1_000.0);
    let wait = millis.or_else(|| seconds("retry-after"))?;
    (0.0..86_400.0).contains(&wait).then_some(wait.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_bedrockruntime::types::error::ThrottlingException;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;
    use std::time::Instant;

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty())
    }

    #[test]
    fn an_unmodelled_error_is_read_by_code_and_status() {
        let meta = ErrorMetadata::builder().code("overloaded_error").message("Overloaded").build();
        let mut raw = response(529);
        raw.headers_mut().insert("retry-after", "7");
        let error = SdkError::service_error(ConverseStreamError::generic(meta), raw);
        let mut heard = Heard::new(Instant::now());
        let failure = refused(&error, &mut heard);
        assert_eq!((failure.name, failure.retry_after_s), (ErrorName::TargetUnavailable, Some(7)));
        assert_eq!(failure.message, "overloaded_error (529): Overloaded");
        assert!(heard.usage.is_some(), "a refused call used nothing");
    }

    #[test]
    fn an_error_in_the_stream_is_known_by_its_variant() {
        let inner = ThrottlingException::builder().message("slow down").build();
        let error: SdkError<_, ()> =
            SdkError::service_error(ConverseStreamOutputError::ThrottlingException(inner), ());
        assert_eq!(broken_off(&error).name, ErrorName::TargetThrottled);
    }

    #[test]
    fn a_refused_connection_used_nothing_and_a_reset_may_have() {
        for (kind, never) in
            [(io::ErrorKind::ConnectionRefused, true), (io::ErrorKind::ConnectionReset, false)]
        {
            let connector = ConnectorError::io(Box::new(io::Error::from(kind)));
            assert_eq!(never_connected(&connector), never, "{kind}");
        }
    }
}
