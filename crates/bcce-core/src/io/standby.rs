//! Reads what Bedrock says about targets. `bcce doctor`, `bcce models --live` and the function `canary` read the same.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{StreamExt, iter};

use crate::base::error::Fault;
use crate::config::policy::DataRetention;
use crate::config::profiles::{Profile, Profiles, region_of_profile};
use crate::config::residency::base_model;
use crate::io::reader::TargetDocuments;
use crate::ports::{
    CheckGuardrail, DescribeModel, DescribeProfile, ReadAccess, ReadDataRetention, ReadQuotas,
};
use crate::standby::checks::WatchedTarget;
use crate::standby::facts::TargetFacts;
use crate::standby::quotas::Quota;

/// The number of targets that are asked about at a time. Bedrock's control plane takes a few requests a second.
const AT_A_TIME: usize = 4;

/// What was read about targets.
#[derive(Debug, Default)]
pub struct ReadFacts {
    /// The facts of each target, in the order of the targets.
    pub facts: Vec<TargetFacts>,
    /// The questions that Bedrock did not answer, each once.
    pub unread: BTreeSet<String>,
}

/// The facts about the account in a region.
#[derive(Clone, Default)]
struct RegionFacts {
    retention: Option<DataRetention>,
    quotas: Option<Vec<Quota>>,
}

/// Reads the facts of `targets`. A question that is not answered leaves its fact out and does not end the others.
/// `documents` has the descriptions that the stack has, for the models behind ARNs.
pub async fn read_facts<C, Q>(
    control: &C,
    quotas: &Q,
    targets: &[WatchedTarget],
    documents: &TargetDocuments,
) -> ReadFacts
where
    C: DescribeModel + ReadAccess + DescribeProfile + CheckGuardrail + ReadDataRetention,
    Q: ReadQuotas,
{
    let regions: BTreeSet<&str> = targets.iter().map(|watched| &*watched.target.region).collect();
    let of_regions = regions.into_iter().map(async |region| {
        let mut unread = Vec::new();
        // A policy that says nothing about data retention needs no permission to read it.
        let retention = match documents.policy.data_retention.is_empty() {
            true => None,
            false => answered(control.data_retention(region).await, &mut unread),
        };
        let facts =
            RegionFacts { retention, quotas: answered(quotas.quotas(region).await, &mut unread) };
        (region, facts, unread)
    });
    let of_regions: Vec<_> = iter(of_regions).buffered(AT_A_TIME).collect().await;
    let mut read = ReadFacts::default();
    let mut by_region = BTreeMap::new();
    for (region, facts, unread) in of_regions {
        by_region.insert(region, facts);
        read.unread.extend(unread);
    }
    let profiles = &documents.profiles;
    let each = targets.iter().map(async |watched| of_target(control, watched, profiles).await);
    let each: Vec<_> = iter(each).buffered(AT_A_TIME).collect().await;
    for (watched, (facts, unread)) in targets.iter().zip(each) {
        let RegionFacts { retention, quotas } = by_region[&*watched.target.region].clone();
        read.facts.push(TargetFacts { retention, quotas, ..facts });
        read.unread.extend(unread);
    }
    read
}

/// Reads the facts that belong to one target alone.
async fn of_target<C>(
    control: &C,
    watched: &WatchedTarget,
    profiles: &Profiles,
) -> (TargetFacts, Vec<String>)
where
    C: DescribeModel + ReadAccess + DescribeProfile + CheckGuardrail,
{
    let (target, mut facts, mut unread) = (&watched.target, TargetFacts::default(), Vec::new());
    let (region, id) = (&*target.region, &*target.model_id);
    if base_model(id) != id || region_of_profile(id).is_some() {
        facts.profile = answered(control.describe_profile(region, id).await, &mut unread);
    }
    let described = facts.profile.as_ref().and_then(|profile| profile.as_ref().ok());
    let (region, model) = model_of(region, id, described, profiles);
    // The model behind an ARN that nobody describes is unknown.
    if !model.starts_with("arn:") {
        facts.model = answered(control.describe_model(region, model).await, &mut unread);
        // Bedrock answers the question about access only for a model that it has.
        if matches!(facts.model, Some(Ok(_))) {
            facts.access = answered(control.access(region, model).await, &mut unread);
        }
    }
    if let Some(guardrail) = &target.guardrail {
        let checked = control.check_guardrail(&target.region, guardrail).await;
        facts.guardrail = answered(checked, &mut unread);
    }
    (facts, unread)
}

/// Returns the model of a target, and a region that has it. A region can call a profile without having its model.
fn model_of<'a>(
    region: &'a str,
    id: &'a str,
    described: Option<&'a Profile>,
    profiles: &'a Profiles,
) -> (&'a str, &'a str) {
    let profile = described.or_else(|| profiles.get(region, id));
    let model = profile.map_or(id, |profile| &profile.model);
    let regions = profile.map(|profile| &profile.regions[..]).unwrap_or_default();
    let has_model = regions.is_empty() || regions.iter().any(|has| has == region);
    let place = if has_model { region } else { &regions[0] };
    (place, base_model(model))
}

/// Returns an answer, or notes why there is none.
fn answered<T>(answer: Result<T, Fault>, unread: &mut Vec<String>) -> Option<T> {
    answer.map_err(|fault| unread.push(fault.message)).ok()
}
