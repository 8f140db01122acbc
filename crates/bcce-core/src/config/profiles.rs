//! The inference profiles of targets, as Bedrock's `GetInferenceProfile` describes them. `bcce config push` reads them once
//! and stores them as the document `profiles`, so that no run asks Bedrock. A plan keeps those of its targets.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::error::Problems;
use crate::document::Document;

/// The prefix of the ids of profiles that reach any commercial region.
pub const GLOBAL: &str = "global.";

/// An inference profile in the region that it is called in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub region: String,
    /// The id that a target names: that of a system-defined profile, or the ARN of an application inference profile.
    pub id: String,
    /// The model that answers, such as `anthropic.claude-haiku-5-5`. It starts with `global.` if any commercial region
    /// may answer, because that has a price of its own.
    pub model: String,
    /// The regions that may answer, sorted. Empty if any commercial region may.
    pub regions: Vec<String>,
}

/// The profiles that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profiles(pub Vec<Profile>);

/// The document `profiles`, in SSM `/bcce/<env>/profiles`. It is optional: without it, the regions of system-defined
/// profiles come from the built-in table, and application inference profiles cannot be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfilesDocument {
    pub version: u32,
    pub profiles: Profiles,
}

impl Document for ProfilesDocument {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.version == 1, "version", "must be 1");
        problems
    }
}

impl From<Profiles> for ProfilesDocument {
    fn from(profiles: Profiles) -> Self {
        Self { version: 1, profiles }
    }
}

impl Profile {
    /// Creates a profile from the ARNs of the models that it calls, one for each region that may answer.
    ///
    /// # Errors
    /// An ARN is not that of a foundation model, or the ARNs name none or several models.
    pub fn of<'a>(
        region: &str,
        id: &str,
        model_arns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let (mut models, mut regions) = (BTreeSet::new(), BTreeSet::new());
        for arn in model_arns {
            let (region, model) = foundation_model(arn)
                .ok_or_else(|| format!("it calls {arn}, which is not a foundation model"))?;
            models.insert(model);
            regions.insert(region);
        }
        let models = Vec::from_iter(models);
        let [model] = models[..] else {
            return Err(match models.len() {
                0 => "it calls no model".to_owned(),
                _ => format!("it calls several models: {}", models.join(", ")),
            });
        };
        // The ARN of a model that any region may answer for has no region.
        let is_global = regions.contains("");
        let (model, regions) = if is_global {
            (format!("{GLOBAL}{model}"), Vec::new())
        } else {
            (model.to_owned(), regions.into_iter().map(str::to_owned).collect())
        };
        Ok(Self { region: region.to_owned(), id: id.to_owned(), model, regions })
    }
}

impl Profiles {
    /// Returns the profile that is called as `id` in `region`.
    pub fn get(&self, region: &str, id: &str) -> Option<&Profile> {
        self.0.iter().find(|profile| profile.region == region && profile.id == id)
    }

    /// Returns the id whose model, price and reach apply to a call of `id` in `region`: for the ARN of a known
    /// application inference profile the model behind it, else `id` itself.
    pub fn resolve<'a>(&'a self, region: &str, id: &'a str) -> &'a str {
        self.model(region, id).unwrap_or(id)
    }

    /// Returns the model behind an ARN. Returns `None` if `id` is not an ARN, because then it names its model itself,
    /// or if the profile is unknown.
    pub fn model(&self, region: &str, id: &str) -> Option<&str> {
        let profile = self.get(region, id).filter(|_| id.starts_with("arn:"))?;
        Some(&profile.model)
    }

    /// Returns the profiles that `targets` name, each a region and an id.
    pub fn of<'a>(&self, targets: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut found: Vec<Profile> = Vec::new();
        for (region, id) in targets {
            let profile = self.get(region, id).filter(|profile| !found.contains(profile));
            found.extend(profile.cloned());
        }
        Self(found)
    }

    /// Returns the profiles that are not `left_out`.
    pub fn without(mut self, left_out: impl Fn(&Profile) -> bool) -> Self {
        self.0.retain(|profile| !left_out(profile));
        self
    }

    /// Returns `true` if no profile is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns the region and the model of `arn:<partition>:bedrock:<region>::foundation-model/<model>`.
fn foundation_model(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(_), Some("bedrock"), Some(region), Some(_), Some(resource)) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some((region, resource.strip_prefix("foundation-model/")?))
}

/// Returns the region of the ARN of an inference profile, of either kind. Returns `None` if `id` is not such an ARN.
pub fn region_of_profile(id: &str) -> Option<&str> {
    let mut parts = id.strip_prefix("arn:")?.splitn(5, ':');
    let (_, service, region, _) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let kind = parts.next()?.split_once('/')?.0;
    let is_profile = ["inference-profile", "application-inference-profile"].contains(&kind);
    (service == "bedrock" && is_profile).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2";

    fn model(region: &str, model: &str) -> String {
        format!("arn:aws:bedrock:{region}::foundation-model/{model}")
    }

    fn profile(regions: &[&str]) -> Profile {
        let arns: Vec<String> = regions.iter().map(|region| model(region, "anthropic.c")).collect();
        Profile::of("us-east-1", ARN, arns.iter().map(String::as_str)).unwrap()
    }

    #[test]
    fn a_profile_reaches_the_regions_of_its_models() {
        let found = profile(&["us-west-2", "us-east-1", "us-east-1"]);
        assert_eq!(found.regions, ["us-east-1", "us-west-2"]);
        assert_eq!(found.model, "anthropic.c");
    }

    #[test]
    fn a_model_without_a_region_makes_a_profile_global() {
        let found = profile(&["us-east-1", ""]);
        assert_eq!((found.model.as_str(), found.regions.len()), ("global.anthropic.c", 0));
    }

    #[test]
    fn a_profile_of_no_several_or_other_models_is_refused() {
        let refused =
            |arns: &[&str]| Profile::of("us-east-1", ARN, arns.iter().copied()).unwrap_err();
        assert_eq!(refused(&[]), "it calls no model");
        let two = [model("us-east-1", "anthropic.c"), model("us-west-2", "anthropic.d")];
        let two = refused(&[&two[0], &two[1]]);
        assert_eq!(two, "it calls several models: anthropic.c, anthropic.d");
        for other in ["arn:aws:bedrock:us-east-1:1:provisioned-model/x", "arn:aws:s3:::b", "x"] {
            assert_eq!(
                refused(&[other]),
                format!("it calls {other}, which is not a foundation model")
            );
        }
    }

    #[test]
    fn only_an_arn_in_its_region_stands_for_its_model() {
        let profiles = Profiles(vec![
            profile(&[""]),
            Profile { id: "us.anthropic.c".into(), ..profile(&["us-east-1"]) },
        ]);
        assert_eq!(profiles.resolve("us-east-1", ARN), "global.anthropic.c");
        assert_eq!(profiles.resolve("us-west-2", ARN), ARN);
        assert_eq!(profiles.resolve("us-east-1", "us.anthropic.c"), "us.anthropic.c");
        assert_eq!(profiles.of([("us-east-1", ARN), ("us-east-1", ARN)]).0.len(), 1);
        assert!(profiles.of([("us-west-2", ARN)]).is_empty());
    }

    #[test]
    fn the_region_of_an_arn_is_that_of_a_profile_only() {
        assert_eq!(region_of_profile(ARN), Some("us-east-1"));
        let system = "arn:aws-us-gov:bedrock:us-gov-west-1:1:inference-profile/us-gov.anthropic.c";
        assert_eq!(region_of_profile(system), Some("us-gov-west-1"));
        for other in [
            "us.anthropic.c",
            "arn:aws:bedrock:us-east-1:1:provisioned-model/x",
            "arn:aws:sns:us-east-1:1:inference-profile/x",
            "arn:aws:bedrock",
        ] {
            assert_eq!(region_of_profile(other), None, "{other}");
        }
    }
}
