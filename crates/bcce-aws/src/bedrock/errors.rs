//! Translates errors of the SDK into a [`CallFailure`].

use std::error::Error;
use std::io;

use aws_sdk_bedrockruntime::error::SdkError;
use aws_sdk_bedrockruntime::operation::converse_stream::ConverseStreamError;
use aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bcce_core::base::error::ErrorName;
use bcce_core::base::limits::{MAX_MESSAGE_CHARS, cut};
use bcce_core::call::classify::{Finding, ServiceError, find};
use bcce_core::call::model::{Blame, CallFailure};
use time::OffsetDateTime;

use super::stream::StreamedAnswer;

/// Returns the failure of a call for which no stream was opened. `now` is the time of the failure: some errors last
/// until the end of the day.
pub(super) fn refused(
    error: &SdkError<ConverseStreamError, HttpResponse>,
    answer: &mut StreamedAnswer,
    now: OffsetDateTime,
) -> CallFailure {
    match error {
        SdkError::ServiceError(service) => {
            answer.refused();
            let (inner, response) = (service.err(), service.raw());
            let (code, message) = (inner.code(), inner.message().unwrap_or_default());
            let status = Some(response.status().as_u16());
            let found = find(ServiceError { code, status, message });
            let code = code.unwrap_or("no error code");
            let message = format!("{code} ({}): {message}", response.status().as_u16());
            CallFailure { retry_after_s: retry_after(response), ..reported(found, &message, now) }
        }
        SdkError::ConstructionFailure(_) => {
            answer.refused();
            failure(ErrorName::Internal, "the request could not be built")
        }
        SdkError::DispatchFailure(connector) => {
            let connector = connector.as_connector_error();
            if connector.is_some_and(never_connected) {
                answer.refused();
                return failure(ErrorName::TargetUnavailable, "no connection");
            }
            failure(ErrorName::TargetUnavailable, "the connection broke before an answer")
        }
        SdkError::TimeoutError(_) => failure(ErrorName::TargetTimeout, "no answer in time"),
        _ => failure(ErrorName::TargetBroken, "the response could not be read"),
    }
}

/// Returns the failure of a stream that ended in an error or became unreadable.
pub(super) fn broken_off<R>(
    error: &SdkError<ConverseStreamOutputError, R>,
    now: OffsetDateTime,
) -> CallFailure {
    let Some(inner) = error.as_service_error() else {
        return failure(ErrorName::TargetBroken, "the stream broke off");
    };
    let (code, message) = stream_error(inner);
    let message = message.unwrap_or_default();
    let found = find(ServiceError { code: Some(code), status: None, message });
    reported(found, &format!("{code} in the stream: {message}"), now)
}

/// Builds a failure that the service itself reported.
fn reported(found: Finding, message: &str, now: OffsetDateTime) -> CallFailure {
    let blame = match (found.leave.until(now), found.cause) {
        (Some(until), _) => Blame::TargetUntil(until),
        (None, Some(cause)) => Blame::Fit(cause),
        // The service blames the model for this request. Another request may succeed on the same target.
        (None, None) if found.name == ErrorName::TargetBroken => Blame::Request,
        (None, None) => Blame::Target,
    };
    CallFailure { advice: found.advice, blame, ..failure(found.name, message) }
}

/// Returns the code and the message of an error inside a stream. The SDK leaves them out of the error's metadata, so
/// they are derived from its variant.
fn stream_error(error: &ConverseStreamOutputError) -> (&str, Option<&str>) {
    use ConverseStreamOutputError as E;
    match error {
        E::InternalServerException(inner) => ("internalServerException", inner.message()),
        E::ModelStreamErrorException(inner) => ("modelStreamErrorException", inner.message()),
        E::ValidationException(inner) => ("validationException", inner.message()),
        E::ThrottlingException(inner) => ("throttlingException", inner.message()),
        E::ServiceUnavailableException(inner) => ("serviceUnavailableException", inner.message()),
        other => (other.code().unwrap_or("modelStreamErrorException"), other.message()),
    }
}

fn failure(name: ErrorName, message: &str) -> CallFailure {
    let message = cut(message, MAX_MESSAGE_CHARS);
    CallFailure { name, message, advice: None, retry_after_s: None, blame: Blame::Target }
}

/// Returns true if no connection was established, so that the call used no tokens. After a connection reset, the
/// request may have been sent.
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

/// Returns the wait that the service asks for, in seconds. AWS does not use the date form of the header.
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
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::empty())
    }

    #[test]
    fn an_unmodelled_error_is_read_by_code_and_status() {
        let meta = ErrorMetadata::builder().code("overloaded_error").message("Overloaded").build();
        let mut raw = response(529);
        raw.headers_mut().insert("retry-after", "7");
        let error = SdkError::service_error(ConverseStreamError::generic(meta), raw);
        let mut answer = StreamedAnswer::new(Instant::now());
        let failure = refused(&error, &mut answer, NOW);
        assert_eq!((failure.name, failure.retry_after_s), (ErrorName::TargetUnavailable, Some(7)));
        assert_eq!(failure.message, "overloaded_error (529): Overloaded");
        assert!(answer.usage.is_some(), "a refused call used nothing");
    }

    #[test]
    fn a_quota_of_the_day_holds_until_the_day_turns_wherever_it_is_reported() {
        let says = "Too many tokens per day, please wait before trying again.";
        let meta = ErrorMetadata::builder().code("ThrottlingException").message(says).build();
        let error = SdkError::service_error(ConverseStreamError::generic(meta), response(429));
        let refused = refused(&error, &mut StreamedAnswer::new(Instant::now()), NOW);
        let inner = ThrottlingException::builder().message(says).build();
        let error: SdkError<_, ()> =
            SdkError::service_error(ConverseStreamOutputError::ThrottlingException(inner), ());
        for failure in [refused, broken_off(&error, NOW)] {
            assert_eq!(failure.name, ErrorName::TargetThrottled);
            assert_eq!(failure.blame, Blame::TargetUntil(datetime!(2026-11-02 00:00 UTC)));
            assert!(failure.advice.unwrap().contains("Service Quotas"));
        }
    }

    #[test]
    fn the_message_of_the_service_is_kept_with_the_advice() {
        let says = "Operation not allowed";
        let meta = ErrorMetadata::builder().code("ValidationException").message(says).build();
        let error = SdkError::service_error(ConverseStreamError::generic(meta), response(400));
        let failure = refused(&error, &mut StreamedAnswer::new(Instant::now()), NOW);
        assert_eq!((failure.name, failure.blame), (ErrorName::TargetRejected, Blame::Target));
        assert_eq!(failure.message, "ValidationException (400): Operation not allowed");
        assert!(failure.advice.unwrap().contains("quota is 0"));
    }

    #[test]
    fn an_error_in_the_stream_is_identified_by_its_variant() {
        let inner = ThrottlingException::builder().message("slow down").build();
        let error: SdkError<_, ()> =
            SdkError::service_error(ConverseStreamOutputError::ThrottlingException(inner), ());
        assert_eq!(broken_off(&error, NOW).name, ErrorName::TargetThrottled);
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
