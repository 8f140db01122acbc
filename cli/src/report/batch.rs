//! The report of a batch: what became of its items, why some have no answer, what they took and cost, and which of them
//! to look at.

pub mod items; // sums the items
pub mod read; // reads the results and the manifests of the runs
pub mod worst; // the items with the highest values
mod chosen; // the runs with executions of their own that are read
mod advice; // what to do about an error
mod facts; // the batch itself, and what the report is computed from
mod cost; // what the items cost
mod failures; // why items have no answer
mod look; // the items to look at
mod outcomes; // what became of the items
mod summary; // the headline and the large numbers
mod times; // how long the items took
#[cfg(test)]
pub mod samples; // batches with their runs, for tests
#[cfg(test)]
mod tests;

use bcce_core::batch::bulk::JobRecord;
use time::OffsetDateTime;

use self::items::Items;
use self::read::Basis;
use super::page::Page;
use super::seal::Seal;
use crate::batch::Batch;
use crate::figures::plural;
use crate::metrics::platform::PlatformPrices;
use crate::stack::command_of;

/// The data that a report shows.
pub struct Report {
    pub batch: Batch,
    pub items: Items,
    pub basis: Basis,
    pub seal: Seal,
    /// The prices of AWS besides tokens.
    pub prices: PlatformPrices,
    pub environment: String,
    /// The time at which the state was read.
    pub now: OffsetDateTime,
}

impl Report {
    /// Returns the page. `command` is the command line that wrote it.
    pub fn page(&self, command: String) -> Page {
        let reference = &self.batch.reference;
        let sections = [
            Some(outcomes::section(self)),
            failures::section(self),
            times::section(self),
            cost::section(self),
            look::section(self),
            Some(self.seal.section("batch")),
            Some(facts::section(self)),
        ];
        Page {
            title: format!("Batch {}", reference.batch_id),
            kicker: summary::kicker(self),
            headline: summary::headline(self),
            tone: summary::tone(self),
            error: summary::error(self),
            lead: summary::lead(self),
            numbers: summary::numbers(self),
            sections: sections.into_iter().flatten().collect(),
            command,
            made_at: self.now,
        }
    }

    /// Returns the start of the batch, and its end or the time at which it was seen.
    fn span(&self) -> (OffsetDateTime, OffsetDateTime) {
        let record = self.batch.record.as_ref();
        let ended = self.batch.ended_at().unwrap_or(self.now);
        (record.map_or(self.now, |record| record.started_at), ended)
    }

    fn is_over(&self) -> bool {
        self.batch.ended_at().is_some()
    }

    /// Returns the number of runs of this attempt that have ended.
    fn over(&self) -> u64 {
        match self.basis {
            Basis::Whole => self.items.runs,
            _ => self.batch.progress.over(),
        }
    }

    /// Says that numbers are those of some runs. Returns `None` if they are those of all runs, or of none.
    fn part(&self) -> Option<String> {
        let is_part = self.basis != Basis::Whole && self.items.runs > 0;
        is_part.then(|| {
            format!(
                "These are the numbers of the {} that were read.",
                plural(self.items.runs as usize, "run")
            )
        })
    }

    /// Returns the bulk jobs. Empty in other modes.
    fn jobs(&self) -> &[JobRecord] {
        match &self.batch.manifest {
            Some(manifest) => &manifest.bulk,
            None => &self.batch.jobs,
        }
    }

    /// Returns a command line for the stack of the batch.
    fn command(&self, rest: &str) -> String {
        command_of(&self.environment, rest)
    }
}
