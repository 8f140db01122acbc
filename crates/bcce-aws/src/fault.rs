//! Translates SDK errors into `Bcce.Internal`. The message has the error code and never the content of the request.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bcce_core::base::error::Fault;

/// Returns the fault for an operation that failed. `what` names the operation and the resource, such as
/// `s3:PutObject runs/…`.
pub(crate) fn internal<E, R>(what: &str, error: &SdkError<E, R>) -> Fault
where
    E: ProvideErrorMetadata,
{
    let kind = match error {
        SdkError::ConstructionFailure(_) => "the request could not be built",
        SdkError::TimeoutError(_) => "timed out",
        // The connection neither broke nor timed out, so the request was never signed.
        SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() => {
            "no credentials"
        }
        SdkError::DispatchFailure(_) => "no connection",
        SdkError::ResponseError(_) => "the response could not be read",
        _ => error.code().unwrap_or("an unknown error"),
    };
    Fault::internal(format!("{what}: {kind}"))
}
