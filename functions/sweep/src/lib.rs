//! Finalizes runs and batches whose end was not reported, or whose finalization gave up.
//!
//! Step Functions reports the end of an execution by best effort, and the finalize machine gives up after about half a
//! day. The record in the ledger is then open for ever. A schedule invokes [`handle`], which looks for such records. It
//! lists only executions that ended badly and reads only their records, so a run that succeeds costs nothing. It starts
//! the finalize machine as `bcce runs finalize` does. It must never disturb a finalization that is under way.

mod finalizing; // starts the finalize machine for one attempt
#[cfg(test)]
mod tests;
mod window; // the executions that a sweep looks at

use std::time::Duration;

use bcce_aws::{StartError, variable};
use bcce_core::base::emf;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::{MAX_BATCH_EXECUTION_SECONDS, MAX_EXECUTION_SECONDS};
use bcce_core::ledger::attempts::{AttemptKey, AttemptOf};
use bcce_core::ports::{Clock, DescribeEnd, ListEnded, ListFinalizing, ReadClosed, StartFinalize};
use bcce_core::run::ending::ExecutionStatus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use finalizing::UnderWay;
use window::Window;

/// The time before the end of the invocation at which the sweep stops. A page takes a second or two, and so does an
/// attempt; the SDK tries a call again for some seconds.
pub const MARGIN: Duration = Duration::from_secs(60);

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The ARN of the workflow machine (`BCCE_WORKFLOW_ARN`).
    pub workflow_arn: String,
    /// The ARN of the batch machine (`BCCE_BATCH_ARN`).
    pub batch_arn: String,
    /// The ARN of the finalize machine (`BCCE_FINALIZE_ARN`).
    pub finalize_arn: String,
    /// The name of the ledger's DynamoDB table (`BCCE_LEDGER_TABLE`).
    pub ledger_table: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            workflow_arn: variable("BCCE_WORKFLOW_ARN")?,
            batch_arn: variable("BCCE_BATCH_ARN")?,
            finalize_arn: variable("BCCE_FINALIZE_ARN")?,
            ledger_table: variable("BCCE_LEDGER_TABLE")?,
        })
    }
}

/// The services that [`handle`] uses.
pub struct Ports<R, B, F, L, C, M> {
    /// The workflow machine.
    pub runs: R,
    /// The batch machine.
    pub batches: B,
    /// The finalize machine.
    pub finalize: F,
    pub ledger: L,
    pub clock: C,
    /// Writes a metrics document to the function's log.
    pub metrics: M,
}

/// The event of a schedule, or of a person who wants a sweep now. The other fields of a schedule's event are ignored.
#[derive(Debug, Default, Deserialize)]
pub struct Request {
    /// The time since the end of an execution before which it is left alone, in seconds. An hour if it is missing.
    #[serde(default)]
    pub older_than_s: Option<u32>,
    /// The time since the end of an execution after which it is not looked at, in seconds. Two days if it is missing.
    #[serde(default)]
    pub within_s: Option<u32>,
    /// The id of the only run or batch to look at.
    #[serde(default)]
    pub only: Option<String>,
}

/// The numbers of what was seen and started.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Response {
    /// The attempts whose records were read.
    pub checked: u64,
    /// The attempts for which the finalize machine was started.
    pub finalized: u64,
    /// The attempts with an open record that were left alone: they are being finalized, or were today.
    pub left: u64,
    /// False if the time was used up before everything was looked at.
    pub is_complete: bool,
}

/// Finalizes the attempts whose execution ended badly and whose record is not closed. Ends after `time`. Safe to
/// repeat, also at the same time.
///
/// # Errors
/// `Bcce.Internal`: a machine could not be listed, or an attempt could not be looked up or finalized. Everything else
/// was done, and the next sweep tries again.
pub async fn handle<R, B, F, L, C, M>(
    ports: &Ports<R, B, F, L, C, M>,
    environment: &str,
    request: Request,
    time: Duration,
) -> Result<Response, Fault>
where
    R: ListEnded + DescribeEnd,
    B: ListEnded + DescribeEnd,
    F: ListFinalizing + StartFinalize,
    L: ReadClosed,
    C: Clock,
    M: Fn(&str),
{
    let now = ports.clock.now();
    let mut sweep = Sweep {
        ports,
        now,
        until: now + time,
        request,
        under_way: UnderWay::default(),
        response: Response { is_complete: true, ..Response::default() },
        fault: None,
    };
    // Batches first: they are few, and many runs must not keep them waiting.
    sweep.machine(&ports.batches, AttemptOf::Batch, MAX_BATCH_EXECUTION_SECONDS).await;
    sweep.machine(&ports.runs, AttemptOf::Run, MAX_EXECUTION_SECONDS).await;
    let Sweep { response, fault, .. } = sweep;
    (ports.metrics)(&metric(environment, response.finalized, now));
    if !response.is_complete {
        tracing::warn!(checked = response.checked, "the time was used up before the end");
    }
    fault.map_or(Ok(response), Err)
}

/// A sweep under way.
struct Sweep<'a, R, B, F, L, C, M> {
    ports: &'a Ports<R, B, F, L, C, M>,
    now: OffsetDateTime,
    until: OffsetDateTime,
    request: Request,
    under_way: UnderWay,
    response: Response,
    /// The last fault. A fault does not end the sweep.
    fault: Option<Fault>,
}

impl<R, B, F: ListFinalizing + StartFinalize, L: ReadClosed, C: Clock, M>
    Sweep<'_, R, B, F, L, C, M>
{
    /// Looks at the executions of a machine that ended badly. `longest_s` is the longest time of its executions, in
    /// seconds.
    async fn machine<D>(&mut self, machine: &D, of: AttemptOf, longest_s: u64)
    where
        D: ListEnded + DescribeEnd,
    {
        let window = Window::new(&self.request, self.now, longest_s);
        for status in ExecutionStatus::ALL {
            let swept = self.status(machine, of, &window, status).await;
            self.note(swept, &format!("{of:?}, {}", status.as_str()));
        }
    }

    /// Looks at the executions that ended with `status`, page by page.
    async fn status<D>(
        &mut self,
        machine: &D,
        of: AttemptOf,
        window: &Window,
        status: ExecutionStatus,
    ) -> Result<(), Fault>
    where
        D: ListEnded + DescribeEnd,
    {
        let mut page = None;
        loop {
            if self.is_out_of_time() {
                return Ok(());
            }
            let listed = machine.ended(status, page).await?;
            let attempts: Vec<AttemptKey> = window.attempts(of, &listed.executions).collect();
            let closed = self.ports.ledger.closed(&attempts).await?;
            self.response.checked += attempts.len() as u64;
            for attempt in attempts.iter().filter(|attempt| !closed.contains(attempt)) {
                if self.is_out_of_time() {
                    return Ok(());
                }
                let finalized = self.finalize(machine, attempt).await;
                self.note(finalized, &attempt.id);
            }
            match listed.next {
                Some(next) if window.may_continue(&listed.executions) => page = Some(next),
                _ => return Ok(()),
            }
        }
    }

    fn is_out_of_time(&mut self) -> bool {
        let is_over = self.ports.clock.now() >= self.until;
        self.response.is_complete &= !is_over;
        is_over
    }

    /// Logs and notes a fault, which must not hide the rest.
    fn note(&mut self, result: Result<(), Fault>, what: &str) {
        if let Err(fault) = result {
            tracing::error!(of = what, "a part of the sweep failed: {}", fault.message);
            self.fault = Some(fault);
        }
    }
}

/// Returns the metric of a sweep: the number of runs and batches that it finalized.
pub fn metric(environment: &str, finalized: u64, at: OffsetDateTime) -> String {
    let swept = ("RunsSwept", "Count", json!(finalized));
    let function = ("function", json!("sweep"));
    emf::document(at, &[("Environment", environment)], &[swept], &[function])
}
