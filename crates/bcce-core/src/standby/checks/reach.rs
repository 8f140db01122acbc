//! The regions of a profile.

use super::{Found, Rules};
use crate::config::profiles::{Profile, Profiles, region_of_profile};
use crate::config::residency::regions_in_table;
use crate::standby::facts::TargetFacts;
use crate::standby::finding::Check;

impl Rules<'_> {
    pub(super) fn check_reach(&self, all: &mut Found<'_>, facts: &TargetFacts) {
        let target = &all.watched.target;
        let region = &target.region;
        let described = match &facts.profile {
            Some(Err(reason)) => {
                let cause = format!("the profile cannot be called in {region}: {reason}");
                let remedy = format!(
                    "`aws bedrock list-inference-profiles --region {region}` lists those of the region; correct models.yaml, then `bcce config push DIR`"
                );
                return all.fail(Check::Profile, cause, remedy);
            }
            Some(Ok(profile)) => Some(profile),
            None => None,
        };
        let fresh = described.map(|profile| Profiles(vec![profile.clone()]));
        let fresh = fresh.as_ref().unwrap_or(self.profiles);
        if let Some(reason) = self.policy.forbids(target, fresh) {
            let remedy = "remove the target from models.yaml, or change policy.yaml, then `bcce config push DIR`";
            // Not the descriptions of the stack decide what the documents forbid by themselves: the canary stores each new
            // description, and the finding must not become milder by that.
            let is_arn = region_of_profile(&target.model_id).is_some();
            let is_known = !is_arn && self.policy.forbids(target, &Profiles::default()).is_some();
            if is_known {
                let cause = format!(
                    "policy.yaml does not allow the target, so it is never called: {reason}"
                );
                all.warn(Check::Residency, cause, remedy.to_owned());
            } else {
                let cause = format!(
                    "the profile reaches further than policy.yaml allows, so the target is never called: {reason}"
                );
                all.fail(Check::Residency, cause, remedy.to_owned());
            }
        }
        if let Some(cause) = described.and_then(|profile| self.difference(profile)) {
            all.warn(
                Check::Reach,
                cause,
                "check `allowed_regions` in policy.yaml; the canary and `bcce config push DIR` store the new description"
                    .to_owned(),
            );
        }
    }

    /// Returns a sentence if a profile reaches other regions than the stack knows.
    fn difference(&self, profile: &Profile) -> Option<String> {
        let stored = self.profiles.get(&profile.region, &profile.id);
        let (known, source): (Vec<&str>, _) = match stored {
            Some(stored) => (stored.regions.iter().map(String::as_str).collect(), "the stack"),
            None => (regions_in_table(&profile.id)?.to_vec(), "the built-in table"),
        };
        let is_equal = known == profile.regions.iter().map(String::as_str).collect::<Vec<_>>();
        let list = |regions: &[&str]| match regions {
            [] => "any region".to_owned(),
            regions => regions.join(", "),
        };
        let reached: Vec<&str> = profile.regions.iter().map(String::as_str).collect();
        (!is_equal).then(|| {
            format!("the profile reaches {}, and {source} has {}", list(&reached), list(&known))
        })
    }
}
