//! Starts the finalize machine for one attempt, unless it is being finalized.

use std::collections::BTreeSet;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::ledger::attempts::AttemptKey;
use bcce_core::ports::{Clock, DescribeEnd, ListFinalizing, ReadClosed, StartFinalize, Started};
use bcce_core::run::execution_end::FinalizeEvent;
use time::OffsetDateTime;

use crate::Sweep;

/// The number of finalizations under way from which the sweep starts none. Each of them takes a DescribeExecution, of
/// which an account has 15 per second, and so many at a time mean that a batch was stopped or that a service is out of
/// reach.
pub const MOST_UNDER_WAY: usize = 200;

/// The executions that are being finalized. They are read when the first open record is found, which most sweeps do
/// not find.
#[derive(Default)]
pub enum UnderWay {
    #[default]
    Unknown,
    /// So many that none is started.
    Many,
    /// The ARNs of the executions.
    These(BTreeSet<String>),
}

impl UnderWay {
    /// Returns true if an execution must be left alone.
    async fn has(&mut self, port: &impl ListFinalizing, arn: &str) -> Result<bool, Fault> {
        if matches!(self, Self::Unknown) {
            let arns = port.finalizing(MOST_UNDER_WAY).await?;
            *self = match arns.len() {
                MOST_UNDER_WAY.. => Self::Many,
                _ => Self::These(arns.into_iter().collect()),
            };
        }
        Ok(match self {
            Self::These(arns) => arns.contains(arn),
            Self::Unknown | Self::Many => true,
        })
    }
}

impl<R, B, F, L, C, M> Sweep<'_, R, B, F, L, C, M>
where
    F: ListFinalizing + StartFinalize,
    L: ReadClosed,
    C: Clock,
{
    /// Starts the finalize machine for an attempt whose record is not closed, unless it is being finalized.
    pub async fn finalize(
        &mut self,
        machine: &impl DescribeEnd,
        attempt: &AttemptKey,
    ) -> Result<(), Fault> {
        let execution = attempt.execution_name();
        let end = machine.end(&execution).await?;
        let event = FinalizeEvent::of(&attempt.id, end).map_err(Fault::internal)?;
        let FinalizeEvent { detail } = &event;
        let port = &self.ports.finalize;
        if self.under_way.has(port, &detail.execution_arn).await? {
            self.response.left += 1;
            tracing::info!(execution, "the record is open and the finalization is under way");
            return Ok(());
        }
        match port.start_finalize(&name(&detail.execution_arn, self.now), &event).await? {
            Started::Running { .. } => {
                self.response.finalized += 1;
                let (status, error) = (&detail.status, detail.error.as_deref());
                tracing::warn!(
                    id = attempt.id,
                    attempt_no = attempt.attempt_no,
                    status,
                    error,
                    "finalized: the execution ended badly, and the record is not closed"
                );
                Ok(())
            }
            Started::Existed => {
                self.response.left += 1;
                tracing::warn!(execution, "the record is open, although it was finalized today");
                Ok(())
            }
            Started::Throttled => Err(Fault::internal(format!(
                "states:StartExecution for {execution} was throttled; the next sweep tries again"
            ))),
        }
    }
}

/// Returns the name under which the sweeps of a day start the finalization of an execution. Step Functions refuses a
/// name that was used, so two sweeps start it once, and a finalization that fails is tried again on the next day.
fn name(execution_arn: &str, now: OffsetDateTime) -> String {
    format!("sweep-{}-{}", now.date(), &sha256_hex(execution_arn.as_bytes())[..32])
}
