//! Reads the state of a run, so that it can be followed.

use std::io::Write;
use std::time::Duration;

use bcce_aws::sfn::StateMachine;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::INVOKE_SECONDS;
use bcce_core::ports::{GetObject, ListObjects, ReadAttempts, StartRun, Started};
use bcce_core::run::notification::RunStatus;
use futures::StreamExt;
use serde_json::json;
use time::OffsetDateTime;

use super::Run;
use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::stack::Stack;
use crate::tracked::{Attempt, Rhythm, Status, Tracked};

/// The number of objects that are read at a time.
const AT_A_TIME: usize = 8;

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
        let (reference, record) = stack.latest(id).await?;
        Ok(Self { record, ..Self::new(reference) })
    }

    async fn look(
        &mut self,
        stack: &Stack,
        _: OffsetDateTime,
        ask_execution: bool,
    ) -> Result<(), Fault> {
        // The execution is read first. If it has ended, everything that is read after it is final.
        if ask_execution {
            self.execution = stack.machine.status(&self.reference.execution_name()).await?;
        }
        self.note_record(stack.ledger.attempts(&self.reference.run_id).await?.pop());
        let wanted = self.wanted(&stack.store.list(&self.reference.prefix()).await?);
        let get = |key: String| async { (stack.store.get(&key).await, key) };
        let got: Vec<_> =
            futures::stream::iter(wanted).map(get).buffered(AT_A_TIME).collect().await;
        for (body, key) in got {
            if let Some(body) = body? {
                self.absorb(&key, &body)?;
            }
        }
        Ok(())
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
            execution_name: self.reference.execution_name(),
            input: json!(self.reference),
            recorded: record.map(|record| (record.execution_arn.clone(), record.started_at)),
            prefix: self.reference.prefix(),
        }
    }

    fn status(&self) -> Status<RunStatus> {
        self.status()
    }

    fn failure(&self, stack: &Stack) -> Option<Failure> {
        let Status::Over(status) = self.status() else { return None };
        if status == RunStatus::Succeeded {
            return None;
        }
        let error = self.manifest.as_ref().and_then(|manifest| manifest.error.as_ref());
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
        match &self.record {
            Some(record) => writeln!(out, "{}", serde_json::to_string_pretty(record)?),
            None => Ok(()),
        }
    }
}
