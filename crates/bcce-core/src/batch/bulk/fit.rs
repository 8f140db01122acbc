//! Which plans a job can take, and on which target.

use crate::base::target::Target;
use crate::call::parameters::Parameters;
use crate::config::models::{RouteTarget, Takes};
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::plan::Plan;

/// What every record of a job asks, and where.
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

/// `region`: of the stack, whose bucket a job reads and writes.
///
/// # Errors
/// Why no job can take the plan.
pub fn fit<'a>(plan: &'a Plan, region: &str) -> Result<Fit<'a>, String> {
    let [step] = plan.steps.as_slice() else {
        let steps = plan.steps.len();
        return Err(format!("the workflow has {steps} steps, and a record is one call"));
    };
    if let Some(list) = &step.for_each {
        return Err(format!("step {} fans out over {list}, and a record is one call", step.id));
    }
    let route = plan.waves.iter().flat_map(|wave| &wave.steps).next();
    let route = route.and_then(|step| plan.routes.get(&step.route));
    let route = route.ok_or_else(|| format!("the plan has no route for step {}", step.id))?;
    let target = target(route, region)
        .map_err(|why| format!("no target of {} can take a job: {why}", step.model))?;
    let takes = plan.takes(step, route, target);
    let takes = takes.ok_or_else(|| format!("the plan does not say what {target} takes"))?;
    Ok(Fit { step, route, target, takes })
}

/// The first one by the strategy `priority`: a job is no matter of seconds, nor of a prompt cache.
fn target<'a>(route: &'a Route, region: &str) -> Result<&'a Target, String> {
    let speaks_against = |target: &Target| {
        let leaves = route.leaves_guardrail(target);
        let leaves = leaves.then(|| "its guardrail is another one than the first target's".into());
        against(target, region).or(leaves).or_else(|| route.policy.forbids(target))
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

/// What a job cannot do that a call can.
fn against(target: &Target, region: &str) -> Option<String> {
    if target.region != region {
        return Some(format!("a job reads and writes a bucket of its region, which is {region}"));
    }
    if target.account.is_some() {
        return Some("it is called in another account".into());
    }
    target.guardrail.as_ref().map(|_| "a job has no guardrail".into())
}
