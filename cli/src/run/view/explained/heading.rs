//! Formats the run, its deadline, and its routes with their strategy, targets and limits.

use std::time::Duration;

use bcce_core::config::routing::Strategy;
use bcce_core::failover::route::Route;
use bcce_core::run::plan::Plan;
use time::OffsetDateTime;

use super::Account;
use super::names::Names;
use crate::figures;
use crate::page::Page;
use crate::paint::{Line, MARGIN, field};
use crate::run::view::fields;

/// Adds the heading.
pub fn put(page: &mut Page, account: Account<'_>) {
    let (run, plan) = (account.run, account.run.plan.as_ref());
    let Some(record) = account.records.last() else { return };
    let mut lines = vec![
        fields::status(run, record),
        field("workflow", record.workflow.clone()),
        fields::started(record),
    ];
    lines.extend(plan.map(|plan| deadline(plan, record.started_at)));
    lines.extend(plan.map(|plan| routes(plan, account)).into_iter().flatten());
    lines.extend(fields::error(record));
    lines.extend(account.records.iter().rev().skip(1).map(fields::previous));
    lines.into_iter().for_each(|line| page.put(MARGIN, line));
}

fn deadline(plan: &Plan, started_at: OffsetDateTime) -> Line {
    let at = figures::stamp(started_at + Duration::from_secs(plan.timeout));
    let after = figures::milliseconds(plan.timeout.saturating_mul(1_000));
    field("deadline", format!("{at}, {after} after the start"))
}

/// Lists the routes of the step executions.
fn routes(plan: &Plan, account: Account<'_>) -> Vec<Line> {
    let is_taken = |name: &str| account.executions.iter().any(|e| e.step.route == name);
    let taken = plan.routes.iter().filter(|(name, _)| is_taken(name));
    taken.flat_map(|(name, route)| describe(name, route)).collect()
}

fn describe(name: &str, route: &Route) -> [Line; 3] {
    let (routing, timeouts) = (&route.routing, &route.routing.timeouts);
    let names = Names::of(route.targets.iter().map(|listed| &listed.target));
    let targets = route.targets.iter().map(|listed| names.target(&listed.target));
    let targets = targets.collect::<Vec<_>>().join(", ");
    let (strategy, calls) = (strategy(routing.strategy), routing.attempts);
    let (rounds, cap) = (route.rounds, routing.backoff_cap_s);
    let first_wait = figures::milliseconds(routing.backoff_base_ms);
    let (first, stall, call) = (timeouts.first_token_s, timeouts.stall_s, timeouts.attempt_s);
    [
        field("route", format!("{name}, by {strategy}: {targets}")),
        field(
            "",
            format!(
                "per step {calls} calls and {rounds} rounds at most; waits up to {first_wait} at first, up to {cap} s later, or until a target may be called"
            ),
        ),
        field(
            "",
            format!(
                "per call {call} s, first token within {first} s, then {stall} s between two tokens"
            ),
        ),
    ]
}

/// Returns a strategy as the configuration spells it.
fn strategy(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Priority => "priority",
        Strategy::Latency => "latency",
        Strategy::RoundRobin => "round-robin",
        Strategy::Cost => "cost",
    }
}
