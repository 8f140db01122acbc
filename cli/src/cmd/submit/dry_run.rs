//! Prints what a request would do: the steps of its plan, the targets of each in their order, and the estimated cost.

use std::io::Write;
use std::time::Duration;

use bcce_aws::health::HealthTable;
use bcce_core::config::budgets::WorstCaseLimit;
use bcce_core::failover::decision::{Decision, Next};
use bcce_core::io::deciding::{UndecidedStep, preview};
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::run::plan::Plan;
use bcce_core::run::plan::estimate::Estimate;
use serde_json::{Value, json};

use crate::estimate::{ESTIMATE, Estimated};
use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::paint::one_line;
use crate::stack::Stack;
use crate::world::World;

/// The fields that `--json` prints in addition to `run_id`.
pub const FIELDS: [Field; 7] = [
    ("version", "1"),
    ("workflow", "name of the workflow"),
    (
        "steps",
        "list of steps: wave, id, model, executions and decision, which has the targets in their order",
    ),
    ("estimate", ESTIMATE),
    ("worst_case", "calls, tokens and usd in the worst case, and the models that are unpriced"),
    ("limit_usd", "limit of the worst case in USD, or null"),
    ("limit_tokens", "limit of the worst case in tokens, or null"),
];

/// A plan that is not run, with the limits for its worst case.
pub struct Planned<'a> {
    pub plan: &'a Plan,
    pub limits: &'a [WorstCaseLimit],
}

/// A step of the plan, with the decision that it would get now.
struct Previewed<'a> {
    /// The number of the wave, from 1.
    wave: usize,
    id: &'a str,
    model: &'a str,
    /// The number of executions of the step.
    executions: usize,
    decision: Decision,
}

/// Prints the plan and the estimate. `before` is true if the request was sent before.
pub async fn print(
    planned: &Planned<'_>,
    before: bool,
    json: bool,
    stack: &Stack,
    world: &World,
    out: &mut dyn Write,
) -> Outcome {
    let config = world.sdk_config().await?;
    let health = SharedBreakers::new(HealthTable::new(&config, &stack.outputs.ledger_table));
    let steps = previewed(planned.plan, &health, world).await;
    let estimate = planned.plan.estimate(world.now());
    let estimated = estimated(planned, &estimate);
    if json {
        let json = as_json(planned, &steps, &estimated);
        json::print(&json, out)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "{}", heading(planned.plan, &steps))?;
    for line in steps.iter().flat_map(lines) {
        writeln!(out, "{}", one_line(&line))?;
    }
    estimated.print(out)?;
    writeln!(out, "{}", estimated.rule())?;
    if before {
        writeln!(
            out,
            "This request was sent before. Sent again, it would start nothing and cost nothing."
        )?;
    }
    Ok(Exit::Done)
}

fn estimated<'a>(planned: &'a Planned<'_>, estimate: &'a Estimate) -> Estimated<'a> {
    Estimated {
        estimate,
        costs: (estimate.cost_least_usd.normalize(), estimate.cost_most_usd.normalize()),
        unpriced: estimate.unpriced.iter().map(String::as_str).collect(),
        worst: planned.plan.worst_case.clone().unwrap_or_default(),
        what: "run",
        limits: planned.limits.to_vec(),
        prices_date: planned.plan.prices_date,
    }
}

/// Asks the router about each step, as if the step began now.
async fn previewed<'a>(
    plan: &'a Plan,
    health: &SharedBreakers<HealthTable>,
    world: &World,
) -> Vec<Previewed<'a>> {
    let now = world.now();
    let mut steps: Vec<Previewed<'a>> = Vec::new();
    for (n, wave) in plan.waves.iter().enumerate() {
        for execution in &wave.steps {
            if let Some(known) = steps.iter_mut().find(|known| known.id == execution.step) {
                known.executions += 1;
                continue;
            }
            let (Some(step), Some(route)) =
                (plan.step(&execution.step), plan.routes.get(&execution.route))
            else {
                continue;
            };
            let undecided = UndecidedStep {
                environment: &world.environment,
                run_id: &plan.run_id,
                step: execution,
                route,
                deadline: now + Duration::from_secs(plan.timeout),
                attempts: &[],
                decisions: &[],
            };
            let decision = preview(health, &undecided, now).await;
            let (wave, id, model) = (n + 1, &step.id, &step.model);
            steps.push(Previewed { wave, id, model, executions: 1, decision });
        }
    }
    steps
}

fn heading(plan: &Plan, steps: &[Previewed<'_>]) -> String {
    let executions: usize = steps.iter().map(|step| step.executions).sum();
    let (workflow, waves) = (&plan.workflow, figures::plural(plan.waves.len(), "wave"));
    let more = match executions - steps.len() {
        0 => String::new(),
        _ => format!(", {executions} executions"),
    };
    format!("{workflow} would execute {} in {waves}{more}", figures::plural(steps.len(), "step"))
}

/// Returns the lines of a step: its targets in the order of the calls, then those that are passed over.
fn lines(step: &Previewed<'_>) -> Vec<String> {
    let times =
        if step.executions == 1 { String::new() } else { format!(" × {}", step.executions) };
    let because = step.decision.because.join("; ");
    let mut lines =
        vec![format!("wave {}  {}{times} with {}: {because}", step.wave, step.id, step.model)];
    let order: Vec<String> = match &step.decision.next {
        Next::Targets(targets) => targets.iter().map(ToString::to_string).collect(),
        Next::WaitS(_) | Next::Stop(_) => Vec::new(),
    };
    let candidates = &step.decision.candidates;
    let reason = |target: &str| {
        candidates.iter().find(|one| one.target == target).map_or("", |one| one.because.as_str())
    };
    for (n, target) in order.iter().enumerate() {
        lines.push(format!("  {}. {target}: {}", n + 1, reason(target)));
    }
    for passed in candidates.iter().filter(|candidate| !candidate.taken) {
        lines.push(format!("  -  {}: {}", passed.target, passed.because));
    }
    lines
}

fn as_json(planned: &Planned<'_>, steps: &[Previewed<'_>], estimated: &Estimated<'_>) -> Value {
    let step = |step: &Previewed<'_>| {
        json!({
            "wave": step.wave,
            "id": step.id,
            "model": step.model,
            "executions": step.executions,
            "decision": step.decision,
        })
    };
    let mut json = json!({
        "version": 1,
        "workflow": planned.plan.workflow,
        "run_id": planned.plan.run_id,
        "steps": steps.iter().map(step).collect::<Vec<_>>(),
        "estimate": estimated.json(),
    });
    estimated.add_worst(&mut json);
    json
}
