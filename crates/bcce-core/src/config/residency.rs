//! Determines the regions that the data of a call may reach. An inference profile accepts a call in its source region
//! and may answer it in any region of its geography. Therefore residency depends on all these regions and not only on
//! the region that is called.

use crate::base::target::Target;
use crate::config::profiles::{GLOBAL, Profiles};

/// A geography of system-defined inference profiles. The regions of a profile that Bedrock has described to `config
/// push` replace it.
///
/// The source is the list of supported cross-Region inference profiles in the Amazon Bedrock user guide. Each set of
/// regions is the union over the Claude models; a single model may reach fewer regions.
struct Geography {
    prefix: &'static str,
    /// The regions that may answer a call.
    reaches: &'static [&'static str],
    /// Further regions from which the profile may be called, but which never answer.
    calls_from: &'static [&'static str],
}

const GEOGRAPHIES: &[Geography] = &[
    Geography {
        prefix: "us.",
        reaches: &["us-east-1", "us-east-2", "us-west-2"],
        calls_from: &["us-west-1", "ca-central-1", "ca-west-1"],
    },
    Geography {
        prefix: "eu.",
        reaches: &[
            "eu-central-1",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-3",
        ],
        calls_from: &["eu-central-2", "eu-west-2"],
    },
    Geography {
        prefix: "apac.",
        reaches: &[
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
        ],
        calls_from: &[],
    },
    Geography { prefix: "au.", reaches: &["ap-southeast-2", "ap-southeast-4"], calls_from: &[] },
    Geography { prefix: "jp.", reaches: &["ap-northeast-1", "ap-northeast-3"], calls_from: &[] },
    Geography { prefix: "us-gov.", reaches: &["us-gov-east-1", "us-gov-west-1"], calls_from: &[] },
];

/// The regions that the data of a call may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// The source region and the regions of the profile's geography. The source region may lie outside of the
    /// geography.
    Regions { source: &'a str, geography: &'static [&'static str] },
    /// The source region and the regions of a profile that Bedrock has described.
    Described { source: &'a str, regions: &'a [String] },
    /// Any commercial region.
    Anywhere,
    /// Regions that the id does not determine, such as those of an application inference profile that is not known.
    /// Treated as anywhere.
    Unknown,
}

impl<'a> Reach<'a> {
    /// Returns the regions that a call of `target` may reach.
    pub fn of(target: &'a Target, profiles: &'a Profiles) -> Self {
        let Target { region, model_id, .. } = target;
        if let Some(profile) = profiles.get(region, model_id) {
            return match &profile.regions[..] {
                _ if profile.model.starts_with(GLOBAL) => Self::Anywhere,
                [] => Self::Unknown,
                regions => Self::Described { source: region, regions },
            };
        }
        if model_id.starts_with(GLOBAL) {
            return Self::Anywhere;
        }
        if let Some(geography) = geography(model_id) {
            return Self::Regions { source: region, geography: geography.reaches };
        }
        if model_id.starts_with("arn:") || !model_id.starts_with("anthropic.") {
            return Self::Unknown;
        }
        Self::Regions { source: region, geography: &[] }
    }

    /// Returns the first place outside of the `allowed` regions, in words. Returns `None` if there is none, or if
    /// `allowed` is empty, which means no limit.
    pub fn outside(self, allowed: &[String]) -> Option<&'a str> {
        if allowed.is_empty() {
            return None;
        }
        let is_outside = |region: &&str| !allowed.iter().any(|allowed| allowed == region);
        match self {
            Self::Regions { source, geography } => {
                geography.iter().copied().chain([source]).find(is_outside)
            }
            Self::Described { source, regions } => {
                regions.iter().map(String::as_str).chain([source]).find(is_outside)
            }
            Self::Anywhere => Some("any commercial region"),
            Self::Unknown => Some("regions that its id does not name"),
        }
    }
}

/// Returns the regions from which the profile can be called if `region` is not one of them. Returns `None` if it is, or
/// if the id does not belong to a geography.
pub fn not_callable_from(region: &str, model_id: &str) -> Option<Vec<&'static str>> {
    let geography = geography(model_id)?;
    let sources: Vec<_> = geography.reaches.iter().chain(geography.calls_from).copied().collect();
    (!sources.contains(&region)).then_some(sources)
}

fn geography(model_id: &str) -> Option<&'static Geography> {
    GEOGRAPHIES.iter().find(|geography| model_id.starts_with(geography.prefix))
}

/// Returns the regions that the built-in table has for a system-defined profile, sorted. Returns `None` for every other
/// id.
pub fn regions_in_table(model_id: &str) -> Option<&'static [&'static str]> {
    geography(model_id).map(|geography| geography.reaches)
}

/// Returns the model of a profile id, such as `anthropic.claude-x` for `us.anthropic.claude-x`. The prefix may be that of
/// a geography that the table does not have.
pub fn base_model(model_id: &str) -> &str {
    let is_geography = |prefix: &str| prefix.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    match model_id.split_once('.') {
        Some((prefix, model)) if is_geography(prefix) && model.starts_with("anthropic.") => model,
        _ => model_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::profiles::Profile;

    fn outside(region: &str, model_id: &str, allowed: &[&str]) -> bool {
        outside_of(&Profiles::default(), region, model_id, allowed)
    }

    fn outside_of(profiles: &Profiles, region: &str, model_id: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|r| r.to_string()).collect();
        let (region, model_id) = (region.to_owned(), model_id.to_owned());
        let target = Target { account: None, region, model_id, guardrail: None };
        Reach::of(&target, profiles).outside(&allowed).is_some()
    }

    #[test]
    fn a_profile_is_inside_only_with_all_it_may_reach() {
        let us = ["us-east-1", "us-east-2", "us-west-2"];
        assert!(!outside("us-east-1", "us.anthropic.claude-sonnet-5", &us));
        assert!(outside("us-east-1", "us.anthropic.claude-sonnet-5", &["us-east-1"]));
        assert!(!outside("us-east-1", "anthropic.claude-sonnet-5", &["us-east-1"]));
        assert!(outside("eu-west-1", "anthropic.claude-sonnet-5", &us));
        // ca-central-1 may call the profile, and the data passes through it.
        assert!(outside("ca-central-1", "us.anthropic.claude-sonnet-5", &us));
    }

    #[test]
    fn global_and_unknown_ids_are_inside_no_limit() {
        let all = ["us-east-1", "us-east-2", "us-west-2", "eu-west-1"];
        assert!(outside("us-east-1", "global.anthropic.claude-sonnet-5", &all));
        assert!(outside(
            "us-east-1",
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
            &all
        ));
        assert!(!outside("us-east-1", "global.anthropic.claude-sonnet-5", &[]));
    }

    #[test]
    fn what_bedrock_has_described_counts_instead_of_the_table() {
        let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/x";
        let described = |id: &str, model: &str, regions: &[&str]| {
            let (region, regions) = ("us-east-1".into(), regions.iter().map(|r| r.to_string()));
            let (id, model, regions) = (id.into(), model.into(), regions.collect());
            Profiles(vec![Profile { region, id, model, regions }])
        };
        let one = described(arn, "anthropic.c", &["us-east-1"]);
        assert!(!outside_of(&one, "us-east-1", arn, &["us-east-1"]));
        assert!(outside_of(&one, "us-east-1", arn, &["us-west-2"]));
        // A profile of the same ARN in another region is not described.
        assert!(outside_of(&one, "us-west-2", arn, &["us-east-1", "us-west-2"]));
        let global = described(arn, "global.anthropic.c", &[]);
        assert!(outside_of(&global, "us-east-1", arn, &["us-east-1", "us-west-2"]));
        let empty = described(arn, "anthropic.c", &[]);
        assert!(outside_of(&empty, "us-east-1", arn, &["us-east-1"]));
        // The table does not make up for a description that allows any region, or none.
        for model in ["global.anthropic.c", "anthropic.c"] {
            let us = described("us.anthropic.c", model, &[]);
            let all = ["us-east-1", "us-east-2", "us-west-2"];
            assert!(outside_of(&us, "us-east-1", "us.anthropic.c", &all), "{model}");
        }
        // A profile may reach fewer or more regions than the table has.
        let us = "us.anthropic.c";
        let fewer = described(us, "anthropic.c", &["us-east-1", "us-west-2"]);
        assert!(!outside_of(&fewer, "us-east-1", us, &["us-east-1", "us-west-2"]));
        let table = ["us-east-1", "us-east-2", "us-west-2"];
        assert!(!outside("us-east-1", us, &table));
        let more = described(us, "anthropic.c", &["us-east-1", "us-gov-west-1"]);
        assert!(outside_of(&more, "us-east-1", us, &table));
    }

    #[test]
    fn base_models_lose_their_profile_prefix_only() {
        let ids = ["us.", "us-gov.", "global.", "ca.", ""];
        ids.iter().for_each(|prefix| {
            assert_eq!(base_model(&format!("{prefix}anthropic.c")), "anthropic.c");
        });
        for other in ["arn:aws:bedrock:x.anthropic.c", "us.other.c", "anthropic.c.anthropic.d"] {
            assert_eq!(base_model(other), other);
        }
    }

    #[test]
    fn a_profile_is_called_from_its_geography() {
        assert!(not_callable_from("eu-west-1", "us.anthropic.c").is_some());
        assert!(not_callable_from("us-west-1", "us.anthropic.c").is_none());
        assert!(not_callable_from("eu-west-1", "anthropic.c").is_none());
    }
}
