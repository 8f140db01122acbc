//! Decides whether a bulk job can run a plan, and on which target.

use crate::base::target::Target;
use crate::call::parameters::Parameters;
use crate::config::models::{RouteTarget, Takes};
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::plan::Plan;

/// The call that every record of a bulk job makes, and its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit<'a> {
    pub step: &'a Step,
    pub route: &'a Route,
    pub target: &'a Target,
    pub takes: &'a Takes,
}

impl<'a> Fit<'a> {
    /// Returns the parameters that each record sends.
    pub fn parameters(&self) -> Parameters<'a> {
        Parameters::of(self.step, self.takes, false)
    }
}

/// Returns the step and target of a plan that a bulk job can run. `region` is the region of the stack, whose bucket the
/// job reads and writes.
///
/// # Errors
/// Returns the reason if no bulk job can run the plan.
pub fn fit<'a>(plan: &'a Plan, region: &str) -> Result<Fit<'a>, String> {
    let [step] = plan.steps.as_slice() else {
        let steps = plan.steps.len();
        return Err(format!("the workflow has {steps} steps; a bulk job needs exactly one"));
    };
    if let Some(list) = &step.for_each {
        return Err(format!("step {} fans out over {list}; in a bulk job it must not", step.id));
    }
    let route = plan.waves.iter().flat_map(|wave| &wave.steps).next();
    let route = route.and_then(|step| plan.routes.get(&step.route));
    let route = route.ok_or_else(|| format!("the plan has no route for step {}", step.id))?;
    let target = target(route, region)
        .map_err(|why| format!("no target of {} can run a bulk job: {why}", step.model))?;
    let takes = plan.takes(step, route, target);
    let takes = takes.ok_or_else(|| format!("the plan does not list the settings of {target}"))?;
    Ok(Fit { step, route, target, takes })
}

/// Returns the first usable target by the strategy `priority`. The other strategies do not matter for a job: latency is
/// not critical, and records use no prompt cache.
fn target<'a>(route: &'a Route, region: &str) -> Result<&'a Target, String> {
    let speaks_against = |target: &Target| {
        let leaves = route.leaves_guardrail(target);
        let leaves = leaves.then(|| "its guardrail differs from the first target's".into());
        against(target, region).or(leaves).or_else(|| route.forbids(target))
    };
    let usable = route.targets.iter().enumerate();
    let usable = usable.filter(|(_, listed)| speaks_against(&listed.target).is_none());
    let place = |(n, listed): &(usize, &RouteTarget)| listed.priority.unwrap_or(*n as u32);
    if let Some((_, listed)) = usable.min_by_key(place) {
        return Ok(&listed.target);
    }
    let targets = route.targets.iter().map(|listed| &listed.target);
    let reasons =
        targets.filter_map(|target| Some(format!("{target}: {}", speaks_against(target)?)));
    Err(reasons.collect::<Vec<_>>().join("; "))
}

/// Returns the reason if `target` supports calls but not bulk jobs.
fn against(target: &Target, region: &str) -> Option<String> {
    if target.region != region {
        return Some(format!("a bulk job must run in the stack's region, which is {region}"));
    }
    if target.account.is_some() {
        return Some("it is in another account, where a bulk job cannot run".into());
    }
    target.guardrail.as_ref().map(|_| "a bulk job does not support a guardrail".into())
}
