//! Reads the state of a batch, so that it can be followed.

use std::io::Write;
use std::time::Duration;

use bcce_aws::sfn::StateMachine;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::INVOKE_SECONDS;
use bcce_core::batch::bulk::JobsRecord;
use bcce_core::batch::{BatchStatus, Mode};
use bcce_core::io::objects::find;
use bcce_core::ports::{ReadBatchProgress, StartBatch, Started};
use serde_json::json;
use time::OffsetDateTime;

use super::json::as_json;
use super::{Batch, view};
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::stack::Stack;
use crate::tracked::{Attempt, Rhythm, STOPPED, Status, Tracked};

impl Tracked for Batch {
    type Status = BatchStatus;

    const CANCELLED: BatchStatus = BatchStatus::Cancelled;
    const NOUN: &'static str = "batch";
    const GROUP: &'static str = "batch";
    const SHOW: &'static str = "status";
    const FOLLOW: &'static str = "status --watch";
    const RHYTHM: Rhythm = Rhythm {
        pause: Duration::from_secs(1),
        long_pause: Duration::from_secs(5),
        pictures: 2,
        looks_per_status: 5,
        finalizing: Duration::from_secs(INVOKE_SECONDS + 300),
    };

    async fn latest(stack: &Stack, id: &str) -> Outcome<Self> {
        let (reference, record) = stack.latest_batch(id).await?;
        Ok(Self { record, ..Self::new(reference) })
    }

    async fn look(
        &mut self,
        stack: &Stack,
        now: OffsetDateTime,
        ask_execution: bool,
    ) -> Result<(), Fault> {
        // The execution is read first. If it has ended, everything that is read after it is final.
        if ask_execution {
            let name = self.reference.execution_name();
            self.execution = stack.batch_machine.status(&name).await?;
        }
        self.note_record(stack.ledger.batch_attempts(&self.reference.batch_id).await?.pop());
        let Some(record) = &self.record else { return Ok(()) };
        let is_over = record.status != BatchStatus::Running;
        let reference = &self.reference;
        if self.opened.is_none() {
            self.opened = find(&stack.store, &reference.opened_key()).await?;
        }
        if is_over && self.manifest.is_none() {
            self.manifest = find(&stack.store, &reference.manifest_key()).await?;
        }
        // The jobs are read each time: the first may have ended before the last is started.
        if record.mode == Mode::Bulk && self.manifest.is_none() {
            let jobs: Option<JobsRecord> = find(&stack.store, &reference.jobs_key()).await?;
            self.jobs = jobs.map_or_else(Vec::new, |record| record.jobs);
        }
        let progress = stack.ledger.batch_progress(&reference.item_of(), now).await?;
        self.note_progress(progress, now);
        Ok(())
    }

    async fn stop(&self, stack: &Stack, cause: &str) -> Result<&'static str, Fault> {
        stack.batch_machine.stop(&self.reference.execution_name(), cause).await?;
        Ok(STOPPED)
    }

    async fn start(&self, stack: &Stack) -> Result<Started, Fault> {
        stack.batch_machine.start_batch(&self.reference).await
    }

    fn machine(stack: &Stack) -> &StateMachine {
        &stack.batch_machine
    }

    fn id(&self) -> &str {
        &self.reference.batch_id
    }

    fn attempt(&self) -> Attempt {
        let record = self.record.as_ref();
        Attempt {
            number: self.reference.attempt_no,
            execution_name: self.reference.execution_name(),
            input: json!(self.reference),
            recorded: record.map(|record| (record.execution_arn.clone(), record.started_at)),
            prefix: self.reference.prefix(),
        }
    }

    fn status(&self) -> Status<BatchStatus> {
        self.status()
    }

    fn is_sealed(&self) -> bool {
        true
    }

    fn failure(&self, stack: &Stack) -> Option<Failure> {
        let Status::Over(status) = self.status() else { return None };
        if status == BatchStatus::Succeeded {
            return None;
        }
        let counts = self.manifest.as_ref().map(|manifest| view::counted(&manifest.sums.counts));
        let counts = counts.map(|counts| format!(": {counts}")).unwrap_or_default();
        Some(Failure {
            exit: Exit::Failed,
            what: format!("the batch ended with {status}{counts}"),
            then: format!(
                "{} lists the failed items with their errors, {} runs the remaining items",
                self.command(stack, "results --failed"),
                self.command(stack, "retry")
            ),
        })
    }

    fn paid(&self) -> String {
        let counts = self.manifest.as_ref().map(|manifest| view::counted(&manifest.sums.counts));
        format!("{}, {}", counts.unwrap_or_default(), figures::cost(&self.totals()))
    }

    fn hint(&self, stack: &Stack) -> Option<String> {
        let has_answers =
            matches!(self.status(), Status::Over(BatchStatus::Succeeded | BatchStatus::Partial));
        has_answers.then(|| format!("-> {} prints the answers", self.command(stack, "outputs")))
    }

    fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        crate::json::print(&as_json(self), out)
    }
}
