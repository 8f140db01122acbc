//! Runs a handler on the Lambda Runtime API.

mod lines; // the log
mod traced; // the trace of the invocation under way

use std::future::Future;
use std::time::{Duration, SystemTime};

use bcce_core::base::error::Fault;
use bcce_core::base::trace::{TraceHeader, TraceId};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::environment::StartError;

pub(crate) use traced::current_trace;
#[cfg(test)]
pub(crate) use traced::set_trace;

/// The invocation that a handler answers.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    deadline: SystemTime,
    trace: Option<TraceHeader>,
}

impl Invocation {
    /// Returns the time that is left before Lambda ends the function.
    pub fn remaining(&self) -> Duration {
        self.deadline.duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Returns the id of the trace that the invocation belongs to. X-Ray has the trace only if it was sampled.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace.map(|trace| trace.trace_id)
    }
}

/// Runs `main` on one thread. A function handles one invocation at a time, and a second worker thread would cost time
/// at the start and CPU per call.
///
/// # Errors
/// The error of `main`, which is also logged, or [`StartError::Runtime`] if the async runtime cannot be created.
pub fn block_on(main: impl Future<Output = Result<(), StartError>>) -> Result<(), StartError> {
    lines::log_to_stderr();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Runtime(error.to_string()))?;
    runtime.block_on(main).inspect_err(|error| tracing::error!("the function cannot run: {error}"))
}

/// Answers invocations until Lambda ends the process. A [`Fault`] becomes a Lambda error whose type is the fault's
/// name, which the state machines match. A fault is logged here and nowhere else.
///
/// # Errors
/// [`StartError::Runtime`] if the runtime API fails.
pub async fn serve<Q, P, H, F>(handler: H) -> Result<(), StartError>
where
    Q: DeserializeOwned,
    P: Serialize,
    H: Fn(Q, Invocation) -> F,
    F: Future<Output = Result<P, Fault>>,
{
    let handler = &handler;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let trace = event.context.xray_trace_id.as_deref().and_then(TraceHeader::parse);
        traced::set_trace(trace);
        let invocation = Invocation { deadline: event.context.deadline(), trace };
        let result = match serde_json::from_str(event.payload.get()) {
            Ok(request) => handler(request, invocation).await,
            // The payload may contain a sender's input, so the message reports only the position.
            Err(error) => Err(Fault::internal(format!(
                "the event does not have the form that this function expects: line {}, column {}",
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
