//! Reads the state of a run, so that it can be followed.

use std::io::Write;
use std::time::Duration;

use bcce_aws::sfn::StateMachine;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::INVOKE_SECONDS;
use bcce_core::ledger::RunRecord;
use bcce_core::ports::{CancelPackedRun, GetObject, ListObjects, StartRun, Started};
use bcce_core::run::notification::RunStatus;
use futures::StreamExt;
use serde_json::json;
use time::OffsetDateTime;

use super::Run;
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::packed::objects::RunObjects;
use crate::packed::{Packed, PackedAttempt};
use crate::references::run_reference;
use crate::stack::{Stack, unknown};
use crate::tracked::{Attempt, Rhythm, STOPPED, Status, Tracked};

/// The number of objects that are read at a time.
const AT_A_TIME: usize = 8;

impl Run {
    /// Finds a run and its latest attempt with a record. Returns also the records of all run attempts, oldest first and
    /// at least one.
    ///
    /// # Errors
    /// The run does not exist, or its records cannot be read.
    pub async fn find(stack: &Stack, id: &str) -> Outcome<(Self, Vec<RunRecord>)> {
        let mut packed = Packed::default();
        let records = packed.look(stack, id).await?;
        let Some(latest) = records.last() else {
            return Err(unknown(&stack.environment, Self::NOUN, Self::GROUP, id));
        };
        let run = Self { packed, record: Some(latest.clone()), ..Self::new(run_reference(latest)) };
        Ok((run, records))
    }

    /// Returns the status of the execution, or `None` if there is none.
    async fn execution_status(&self, stack: &Stack) -> Result<Option<String>, Fault> {
        let machine = match self.packed_attempt() {
            Some(_) => &stack.batch_machine,
            None => &stack.machine,
        };
        machine.status(&self.execution_name()).await
    }

    /// Returns the name of the execution, which for a packed attempt is that of its batch.
    fn execution_name(&self) -> String {
        match self.packed_attempt() {
            Some(packed) => packed.place.batch.execution_name(),
            None => self.reference.execution_name(),
        }
    }
}

impl Tracked for Run {
    type Status = RunStatus;

    const CANCELLED: RunStatus = RunStatus::Cancelled;
    const NOUN: &'static str = "run";
    const GROUP: &'static str = "runs";
    const SHOW: &'static str = "show";
    const FOLLOW: &'static str = "follow";
    const RHYTHM: Rhythm = Rhythm {
        pause: Duration::from_millis(500),
        long_pause: Duration::from_secs(2),
        pictures: 4,
        looks_per_status: 8,
        finalizing: Duration::from_secs(INVOKE_SECONDS + 120),
    };

    async fn latest(stack: &Stack, id: &str) -> Outcome<Self> {
        let (run, records) = Self::find(stack, id).await?;
        let failed = records
            .last()
            .filter(|record| !matches!(record.status, RunStatus::Running | RunStatus::Succeeded));
        if let Some(next) = failed.and_then(|_| run.reference.retry())
            && stack.machine.status(&next.execution_name()).await?.is_some()
        {
            return Ok(Self { packed: run.packed, ..Self::new(next) });
        }
        Ok(run)
    }

    async fn look(
        &mut self,
        stack: &Stack,
        _: OffsetDateTime,
        ask_execution: bool,
    ) -> Result<(), Fault> {
        // The execution is read first. If it has ended, everything that is read after it is final.
        if ask_execution {
            self.execution = self.execution_status(stack).await?;
        }
        let run_id = self.reference.run_id.clone();
        let latest = self.packed.look(stack, &run_id).await?.pop();
        self.note_record(latest);
        let objects = RunObjects { store: &stack.store, packed: &self.packed };
        let wanted = self.wanted(&objects.list(&self.reference.prefix()).await?);
        let get = |key: String| async { (objects.get(&key).await, key) };
        let got: Vec<_> =
            futures::stream::iter(wanted).map(get).buffered(AT_A_TIME).collect().await;
        for (body, key) in got {
            if let Some(body) = body? {
                self.absorb(&key, &body)?;
            }
        }
        Ok(())
    }

    async fn stop(&self, stack: &Stack, cause: &str) -> Result<&'static str, Fault> {
        let name = self.reference.execution_name();
        let Some(packed) = self.packed_attempt() else {
            stack.machine.stop(&name, cause).await?;
            return Ok(STOPPED);
        };
        let batch = packed.place.batch.item_of();
        stack.ledger.cancel_packed_run(&batch, self.id()).await?;
        Ok("makes no further call; it is over when the call under way has ended")
    }

    async fn start(&self, stack: &Stack) -> Result<Started, Fault> {
        stack.machine.start(&self.reference).await
    }

    fn machine(stack: &Stack) -> &StateMachine {
        &stack.machine
    }

    fn id(&self) -> &str {
        &self.reference.run_id
    }

    fn attempt(&self) -> Attempt {
        let record = self.record.as_ref();
        Attempt {
            number: self.reference.attempt_no,
            execution_name: self.execution_name(),
            input: json!(self.reference),
            recorded: record.map(|record| (record.execution_arn.clone(), record.started_at)),
            prefix: match self.packed_attempt() {
                Some(packed) => packed.prefix(),
                None => self.reference.prefix(),
            },
        }
    }

    fn status(&self) -> Status<RunStatus> {
        self.status()
    }

    fn is_sealed(&self) -> bool {
        self.packed_attempt().is_none_or(PackedAttempt::is_sealed)
    }

    fn failure(&self, stack: &Stack) -> Option<Failure> {
        let Status::Over(status) = self.status() else { return None };
        if status == RunStatus::Succeeded {
            return None;
        }
        // A packed run that is over has no manifest until its part is sealed.
        let sealed = self.manifest.as_ref().and_then(|manifest| manifest.error.as_ref());
        let recorded = self.record.as_ref().and_then(|record| {
            let message = record.error_message.as_deref().unwrap_or_default();
            Some(format!("{}: {message}", record.error_name.as_ref()?))
        });
        let error = sealed.map(ToString::to_string).or(recorded);
        let error = error.map(|error| format!(": {error}")).unwrap_or_default();
        Some(Failure {
            exit: Exit::Failed,
            what: format!("the run ended with {status}{error}"),
            then: format!("{} shows the details", self.command(stack, Self::SHOW)),
        })
    }

    fn paid(&self) -> String {
        let totals = self.totals();
        format!("{}, {}", figures::tokens(&totals), figures::cost(&totals))
    }

    fn hint(&self, stack: &Stack) -> Option<String> {
        let succeeded = self.status() == Status::Over(RunStatus::Succeeded);
        succeeded.then(|| format!("-> {} prints the answer", self.command(stack, "output")))
    }

    fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        self.sealed_record().map_or(Ok(()), |record| crate::json::print(&record, out))
    }
}
