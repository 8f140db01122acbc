//! Checks what must exist for each request, and that nothing else does.

mod calls; // seen by the model, recorded, lost
mod money; // usage and its counters
mod notifications;
mod runs; // executions, manifests, records // notifications and dead letters

use crate::found::Found;
use crate::requests::{Outcome, Sent};

/// Returns everything that is wrong.
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

/// Each function must have been killed at work: otherwise the test shows nothing.
fn hits(found: &Found) -> Result<(), String> {
    eprintln!("killed at work: {:?}", found.hits);
    let functions =
        ["dispatch", "prepare", "failover-router", "invoke", "persist-artifact", "emit-metrics"];
    let missed: Vec<&str> =
        functions.into_iter().filter(|name| !found.hits.contains_key(*name)).collect();
    holds(missed.is_empty(), || format!("never killed at work: {missed:?}"))
}

fn holds(is: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    is.then_some(()).ok_or_else(what)
}
