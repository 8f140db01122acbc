//! Checks that everything exists which must exist for each request, and nothing else.

mod calls; // calls that the model received, that artifacts record, and lost calls
mod money; // usage and its counters
mod notifications; // notifications and dead letters
mod runs; // executions, manifests and records

use crate::found::Found;
use crate::requests::{Outcome, Sent};

/// Returns everything that is wrong, as sentences.
pub fn all(sent: &[Sent], found: &Found) -> Vec<String> {
    let is_run = |sent: &&Sent| !matches!(sent.outcome, Outcome::Rejected(_));
    let runs: Vec<&Sent> = sent.iter().filter(is_run).collect();
    let rejected: Vec<&Sent> = sent.iter().filter(|sent| !is_run(sent)).collect();
    let each = runs.iter().filter_map(|sent| {
        let what = runs::is_whole(sent, found).and_then(|()| notifications::of_run(sent, found));
        what.err().map(|what| format!("{} ({:?}): {what}", sent.run.run_id, sent.outcome))
    });
    let letters = rejected.iter().filter_map(|sent| notifications::is_set_aside(sent, found).err());
    let nothing_else = [
        runs::nothing_else(&runs, found),
        notifications::nothing_else(&rejected, found),
        money::is_counted(&runs, found),
        calls::are_paid_once(found),
        hits(found),
    ];
    each.chain(letters).chain(nothing_else.into_iter().filter_map(Result::err)).collect()
}

/// Checks that each function was killed while it worked. Otherwise the test shows nothing about it.
fn hits(found: &Found) -> Result<(), String> {
    eprintln!("killed at work: {:?}", found.hits);
    let functions =
        ["dispatch", "prepare", "failover-router", "invoke", "persist-artifact", "emit-metrics"];
    let missed: Vec<&str> =
        functions.into_iter().filter(|name| !found.hits.contains_key(*name)).collect();
    holds(missed.is_empty(), || format!("never killed at work: {missed:?}"))
}

/// Returns `what` as the error if `is` is false.
fn holds(is: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    is.then_some(()).ok_or_else(what)
}
