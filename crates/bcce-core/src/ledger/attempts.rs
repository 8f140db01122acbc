//! The record of an attempt, found by the name of its execution.

use super::{attempt_sk, batch_pk, run_pk};
use crate::base::limits::MAX_ATTEMPTS;

/// The length of the digest at the end of each id.
const DIGEST: usize = 32;

/// What an attempt is an attempt at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptOf {
    Run,
    Batch,
}

/// The key of the record of a run attempt or a batch attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptKey {
    pub of: AttemptOf,
    /// The id of the run or the batch.
    pub id: String,
    pub attempt_no: u32,
}

impl AttemptKey {
    /// Returns the attempt whose execution has this name. Returns `None` if no attempt has: somebody else started the
    /// execution.
    pub fn of_execution(of: AttemptOf, name: &str) -> Option<Self> {
        if is_id(name) {
            return Some(Self { of, id: name.to_owned(), attempt_no: 1 });
        }
        let (id, number) = name.rsplit_once("-r")?;
        let attempt_no = number.parse().ok().filter(|n| (2..=MAX_ATTEMPTS).contains(n))?;
        let attempt = Self { of, id: id.to_owned(), attempt_no };
        (is_id(id) && attempt.execution_name() == name).then_some(attempt)
    }

    /// Returns the name of the execution.
    pub fn execution_name(&self) -> String {
        match self.attempt_no {
            1 => self.id.clone(),
            n => format!("{}-r{n}", self.id),
        }
    }

    pub fn pk(&self) -> String {
        match self.of {
            AttemptOf::Run => run_pk(&self.id),
            AttemptOf::Batch => batch_pk(&self.id),
        }
    }

    pub fn sk(&self) -> String {
        attempt_sk(self.attempt_no)
    }
}

/// Returns true if a text has the form `<workflow>-<digest>`, as ids of runs and batches have.
fn is_id(text: &str) -> bool {
    let Some((workflow, digest)) = text.rsplit_once('-') else { return false };
    let is_hex = digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    !workflow.is_empty() && digest.len() == DIGEST && is_hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchRef;
    use crate::run::ids::RunRef;

    #[test]
    fn an_attempt_is_found_by_the_name_of_its_execution() {
        for attempt_no in [1, 2, MAX_ATTEMPTS] {
            let run = RunRef { attempt_no, ..RunRef::first("default", "x-r2", "42") };
            let found = AttemptKey::of_execution(AttemptOf::Run, &run.execution_name()).unwrap();
            assert_eq!((found.pk(), found.attempt_no), (run_pk(&run.run_id), attempt_no));
            let batch = BatchRef { attempt_no, ..BatchRef::first("default", "explain", "42") };
            let name = batch.execution_name();
            let found = AttemptKey::of_execution(AttemptOf::Batch, &name).unwrap();
            assert_eq!((found.pk(), found.attempt_no), (batch_pk(&batch.batch_id), attempt_no));
        }
    }

    #[test]
    fn an_execution_of_somebody_else_is_no_attempt() {
        let id = RunRef::first("default", "explain", "42").run_id;
        for name in [
            "3f2b8d0e-8c35-4c11-9c1e-8f0d4b4f7a11".to_owned(),
            "by-hand".to_owned(),
            id[8..].to_owned(),
            id.to_uppercase(),
            format!("{id}-r1"),
            format!("{id}-r02"),
            format!("{id}-r100"),
            format!("{id}-copy"),
        ] {
            assert_eq!(AttemptKey::of_execution(AttemptOf::Run, &name), None, "{name}");
        }
    }
}
