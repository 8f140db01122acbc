//! A handler on the Lambda Runtime API.

use std::future::Future;
use std::time::{Duration, SystemTime};

use bcce_core::base::error::Fault;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::environment::StartError;

/// What a handler may need to know of its invocation.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    deadline: SystemTime,
}

impl Invocation {
    /// Time left before Lambda ends the function.
    pub fn remaining(&self) -> Duration {
        self.deadline.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

/// Runs `main` on one thread: a function works on one invocation at a time, and a second worker
/// thread costs start-up and CPU per call.
///
/// # Errors
/// Why the function could not start, also as a log line.
pub fn block_on(main: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Runtime(error.to_string()))?;
    runtime.block_on(main).inspect_err(|error| tracing::error!("the function cannot run: {error}"))
}

/// Answers invocations until Lambda ends the process. A `Fault` becomes a Lambda error whose type is
/// its name, which is what the state machine matches; it is logged here and nowhere else.
///
/// # Errors
/// The runtime API is gone.
pub async fn serve<Q, P, H, F>(handler: H) -> Result<(), StartError>
where
    Q: DeserializeOwned,
    P: Serialize,
    H: Fn(Q, Invocation) -> F,
    F: Future<Output = Result<P, Fault>>,
{
    let handler = &handler;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let invocation = Invocation { deadline: event.context.deadline() };
        let result = match serde_json::from_str(event.payload.get()) {
            Ok(request) => handler(request, invocation).await,
            // The payload may hold a sender's words, so only the place is reported.
            Err(error) => Err(Fault::internal(format!(
                "the event is not what this function takes: line {}, column {}",
                error.line(),
                error.column()
            ))),
        };
        result.map_err(|fault| {
            tracing::error!(
                error = fault.name.as_str(),
                "the invocation failed: {}",
                fault.message
            );
            Diagnostic { error_type: fault.name.to_string(), error_message: fault.message }
        })
    });
    lambda_runtime::run(service).await.map_err(|error| StartError::Runtime(error.to_string()))
}

/// Writes the log as JSON lines. The SDK's own events are left out: at debug level they show bodies.
fn log_to_stderr() {
    let ours = tracing_subscriber::filter::FilterFn::new(|metadata| {
        *metadata.level() <= tracing::Level::INFO && !metadata.target().starts_with("aws_")
    });
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(ours).with(lines).init();
}
