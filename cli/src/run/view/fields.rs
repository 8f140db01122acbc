//! Formats the heading of a run: its status, and one line per field.

use bcce_core::ledger::RunRecord;

use super::status_ink;
use crate::figures;
use crate::paint::{Ink, Line, field, span};
use crate::run::Run;
use crate::tracked::Status;

pub fn status(run: &Run, record: &RunRecord) -> Line {
    let status = match run.status() {
        Status::Finalizing(ended) => span(Ink::Red, format!("  {ended}, not finalized yet")),
        _ => span(status_ink(record.status), format!("  {}", record.status)),
    };
    vec![span(Ink::Bold, &record.run_id), status]
}

pub fn started(record: &RunRecord) -> Line {
    let took = record
        .ended_at
        .map(|ended| format!(", took {}", figures::between(record.started_at, ended)));
    field("started", format!("{}{}", figures::stamp(record.started_at), took.unwrap_or_default()))
}

pub fn error(record: &RunRecord) -> Option<Line> {
    let name = record.error_name.as_ref()?;
    let message = record.error_message.as_deref().unwrap_or_default();
    Some(vec![
        span(Ink::Dim, format!("  {:<11}", "error")),
        span(Ink::Red, format!("{name}: {message}")),
    ])
}

/// Returns the line of an earlier run attempt.
pub fn previous(record: &RunRecord) -> Line {
    let error = record.error_name.as_deref().unwrap_or_default();
    field(
        "earlier",
        format!(
            "run attempt {}, {}, {} {error}",
            record.attempt_no,
            figures::stamp(record.started_at),
            record.status
        ),
    )
}
