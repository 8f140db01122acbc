//! Mends what `--fix` can mend without harm: enables rules of the stack, and finalizes runs and batches whose executions
//! have ended.

use std::io::Write;
use std::time::Duration;

use bcce_aws::signed::Services;

use crate::batch::Batch;
use crate::doctor::{Group, Mend};
use crate::exit::Outcome;
use crate::finalizing::finalize;
use crate::run::Run;
use crate::stack::Stack;
use crate::tracked::Tracked;
use crate::world::World;

/// The longest time to wait until a run or a batch is finalized.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the changes that would mend findings.
pub fn of(groups: &[Group]) -> Vec<Mend> {
    groups.iter().flat_map(|group| &group.checks).filter_map(|check| check.mend.clone()).collect()
}

impl Mend {
    /// Describes the change, as a clause that follows "would".
    pub fn describe(&self) -> String {
        match self {
            Self::EnableRule(name) => format!("enable the rule {name}"),
            Self::FinalizeRun(id) => format!("finalize the run {id}"),
            Self::FinalizeBatch(id) => format!("finalize the batch {id}"),
        }
    }

    /// Makes the change.
    ///
    /// # Errors
    /// AWS refuses the change or cannot be reached.
    pub async fn make(
        &self,
        stack: &Stack,
        services: &Services,
        world: &World,
        out: &mut dyn Write,
    ) -> Outcome<()> {
        match self {
            Self::EnableRule(name) => {
                services.enable_rule(name).await?;
                writeln!(out, "enabled the rule {name}")?;
            }
            Self::FinalizeBatch(id) => {
                let batch = Batch::latest(stack, id).await?;
                finalize(stack, world, batch, PATIENCE, false, out).await?;
            }
            Self::FinalizeRun(id) => {
                let run = Run::latest(stack, id).await?;
                finalize(stack, world, run, PATIENCE, false, out).await?;
            }
        }
        Ok(())
    }
}
