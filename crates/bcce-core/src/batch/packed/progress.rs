//! The progress of a part while a function works it off. It is in the ledger until the part is sealed.

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::packed::PackedRun;
use crate::batch::progress::{BatchProgress, Rate};

/// The progress of a part that is worked off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartProgress {
    /// The runs that are over.
    pub runs: BatchProgress,
    pub rate: Rate,
}

impl PartProgress {
    /// Counts a run if it is over.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if an object of the run is not what this version writes.
    pub fn count(&mut self, run: &PackedRun) -> Result<(), Fault> {
        if let Some(manifest) = run.manifest()? {
            self.runs.count(&manifest);
        }
        Ok(())
    }

    /// Returns the part's share of the batch progress at `now`. `until` is the time until which a function owns the
    /// part. After it, the part has no rate.
    pub fn at(&self, until: OffsetDateTime, now: OffsetDateTime) -> BatchProgress {
        let rate = (until > now).then(|| self.rate.clone());
        BatchProgress { rate, ..self.runs.clone() }
    }
}
