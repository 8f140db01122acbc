//! Describes the inference profiles that a configuration names. Bedrock knows which model and which regions are behind a
//! profile; prices, residency and the plans of runs depend on them.

use std::collections::BTreeSet;
use std::path::Path;

use bcce_aws::control::ControlPlane;
use bcce_core::base::error::{Fault, Problem};
use bcce_core::config::directory;
use bcce_core::config::directory::Finding;
use bcce_core::config::documents::{PROFILES, parameter_name};
use bcce_core::config::models::Models;
use bcce_core::config::profiles::{Profile, Profiles, ProfilesDocument, region_of_profile};
use bcce_core::config::residency::{base_model, regions_in_table};
use bcce_core::document::from_yaml;
use bcce_core::io::reader;
use bcce_core::ports::{DescribeProfile, GetParameters};
use futures::stream::{StreamExt, TryStreamExt};
use time::Date;

use crate::directory::{Texts, faulty};
use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::stack::Stack;
use crate::world::World;

/// The number of profiles that are asked for at the same time.
const AT_A_TIME: usize = 8;

/// The descriptions for a configuration, and those in the stack.
#[derive(Debug, Default, PartialEq)]
pub struct Described {
    pub profiles: Profiles,
    /// The descriptions in the stack before the push.
    stored: Stored,
    /// The targets whose profile cannot be used.
    pub unusable: Vec<Finding>,
    /// Warnings for the user, such as a profile that could not be read.
    pub notes: Vec<String>,
}

/// Describes the profiles that the files name, with the permissions of the caller.
///
/// # Errors
/// The stack cannot be reached, or [`describe`] failed.
pub async fn describe_all(stack: &Stack, world: &World, files: &Texts) -> Outcome<Described> {
    let endpoint = stack.outputs.bedrock_endpoint_url.clone().filter(|url| !url.is_empty());
    let bedrock = ControlPlane::new(&world.sdk_config().await?, endpoint);
    let models = files.get("models.yaml").and_then(|text| from_yaml::<Models>(text).value);
    let Some(models) = models else { return Ok(Described::default()) };
    describe(&bedrock, &models, stored(stack).await?).await
}

/// The document with descriptions in a stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    profiles: Profiles,
    /// True if the document exists and is not valid. Its profiles are empty then, and a push replaces it.
    is_broken: bool,
}

/// Reads the descriptions in the stack.
async fn stored(stack: &Stack) -> Outcome<Stored> {
    let name = parameter_name(&stack.environment, PROFILES);
    let mut found = stack.parameters.parameters(std::slice::from_ref(&name)).await?;
    let Some(found) = found.remove(&name) else { return Ok(Stored::default()) };
    let bucket = &stack.outputs.artifact_bucket;
    let text = reader::follow_pointer(&stack.store, bucket, &found.value).await?;
    let document = text.and_then(|text| from_yaml::<ProfilesDocument>(&text).finished());
    let is_broken = document.is_err();
    Ok(Stored { profiles: document.unwrap_or_default().profiles, is_broken })
}

/// Asks Bedrock for each profile that `models` names. If it cannot be asked, the description in the stack stays valid. A
/// system-defined profile without a description is known from the built-in table.
///
/// # Errors
/// Bedrock could not be asked for an application inference profile that the stack has no description of.
pub async fn describe(
    bedrock: &impl DescribeProfile,
    models: &Models,
    stored: Stored,
) -> Outcome<Described> {
    let asked = profiles_of(models);
    let answers = asked.iter().map(async |(region, id)| {
        let answer = bedrock.describe_profile(region, id).await;
        resolve_answer(answer, (region, id), &stored.profiles)
    });
    let answers: Vec<Answer> =
        futures::stream::iter(answers).buffered(AT_A_TIME).try_collect().await?;
    let mut described = Described::default();
    for ((region, id), answer) in asked.iter().zip(answers) {
        match answer {
            Answer::New(profile) => {
                described.notes.extend(differs_from_table(&profile));
                described.profiles.0.push(profile);
            }
            Answer::Kept(profile, note) => {
                described.profiles.0.extend(profile);
                described.notes.push(note);
            }
            Answer::Unusable(cause) => {
                let found = findings(models, (region, id), &cause);
                // Calls fail over from a system-defined profile that does not exist. Its regions and its price are known.
                match region_of_profile(id) {
                    Some(_) => described.unusable.extend(found),
                    None => described.notes.extend(found.iter().map(Finding::to_string)),
                }
            }
        }
    }
    // Each push would repeat a note about a description that it does not change.
    let is_new = |note: &String| {
        !stored.profiles.0.iter().any(|old| differs_from_table(old).as_ref() == Some(note))
    };
    described.notes.retain(is_new);
    described.stored = stored;
    Ok(described)
}

impl Described {
    /// Checks the files again, now that the models and regions behind their profiles are known.
    ///
    /// # Errors
    /// A target cannot be called, has no price, or is the only one of its alias and not allowed.
    pub fn check(&self, directory: &Path, files: &Texts, today: Date, then: &str) -> Outcome<()> {
        let mut findings = self.unusable.clone();
        findings.extend(directory::check_targets(files, today, &self.profiles));
        if findings.is_empty() {
            return Ok(());
        }
        Err(faulty(directory, &findings, Exit::Usage, then))
    }

    /// Writes the descriptions together with those in the stack, because runs that are planned meanwhile may need them.
    ///
    /// # Errors
    /// `Bcce.Internal`: the bucket or SSM cannot be reached. The same applies to [`Described::put`].
    pub async fn put_with_stored(&self, stack: &Stack) -> Result<(), Fault> {
        let all = self.with_stored();
        let is_stored = all == self.stored.profiles && !self.stored.is_broken;
        if is_stored { Ok(()) } else { put(stack, all).await }
    }

    /// Writes the descriptions without those that are no longer needed.
    pub async fn put(&self, stack: &Stack) -> Result<(), Fault> {
        if self.profiles == self.with_stored() {
            return Ok(());
        }
        put(stack, self.profiles.clone()).await
    }

    /// Returns the descriptions, followed by those in the stack of other profiles.
    fn with_stored(&self) -> Profiles {
        let is_other = |old: &&Profile| self.profiles.get(&old.region, &old.id).is_none();
        let others = self.stored.profiles.0.iter().filter(is_other);
        Profiles(self.profiles.0.iter().chain(others).cloned().collect())
    }

    /// Returns the line about the document, such as `  new        /bcce/dev/profiles, 6 profiles`. Returns `None` if
    /// there are no profiles.
    pub fn line(&self, environment: &str) -> Option<String> {
        if self.profiles.is_empty() && self.stored == Stored::default() {
            return None;
        }
        let Stored { profiles, is_broken } = &self.stored;
        let what = match (is_broken, self.profiles == *profiles, profiles.is_empty()) {
            (true, ..) => "repaired",
            (_, true, _) => "unchanged",
            (_, _, true) => "new",
            _ => "changed",
        };
        let parameter = parameter_name(environment, PROFILES);
        let count = figures::plural(self.profiles.0.len(), "profile");
        Some(format!("  {what:<9}  {parameter}, {count}"))
    }
}

async fn put(stack: &Stack, profiles: Profiles) -> Result<(), Fault> {
    let document = ProfilesDocument::from(profiles);
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    stack.write_document(PROFILES, &text).await
}

enum Answer {
    New(Profile),
    /// Bedrock could not be asked.
    Kept(Option<Profile>, String),
    Unusable(String),
}

fn resolve_answer(
    answer: Result<Result<Profile, String>, Fault>,
    (region, id): (&str, &str),
    stored: &Profiles,
) -> Result<Answer, Fault> {
    let fault = match answer {
        Ok(Ok(profile)) => return Ok(Answer::New(profile)),
        Ok(Err(cause)) => return Ok(Answer::Unusable(cause)),
        Err(fault) => fault,
    };
    let instead = match (stored.get(region, id), region_of_profile(id)) {
        (Some(_), _) => "the description in the stack stays valid",
        (None, None) => "its regions are those of the built-in table",
        (None, Some(_)) => return Err(fault),
    };
    Ok(Answer::Kept(stored.get(region, id).cloned(), format!("{}; {instead}", fault.message)))
}

/// Returns the profiles that the targets name, each a region and an id.
fn profiles_of(models: &Models) -> BTreeSet<(&str, &str)> {
    let targets = models.models.values().flat_map(|model| model.targets());
    let is_profile = |id: &str| base_model(id) != id || region_of_profile(id).is_some();
    let profiles = targets.filter(|target| is_profile(&target.model_id));
    profiles.map(|target| (&*target.region, &*target.model_id)).collect()
}

/// Returns a finding for each target that names the profile.
fn findings(models: &Models, profile: (&str, &str), cause: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (alias, model) in &models.models {
        for (n, target) in model.targets().enumerate() {
            if (&*target.region, &*target.model_id) == profile {
                let field = format!("models.{alias}.targets[{n}]");
                let problem =
                    Problem { field, cause: format!("{target} cannot be called: {cause}") };
                findings.push(Finding { file: "models.yaml".into(), problem });
            }
        }
    }
    findings
}

/// Returns a line if Bedrock describes other regions than the built-in table has.
fn differs_from_table(profile: &Profile) -> Option<String> {
    let table = regions_in_table(&profile.id)?;
    let more: Vec<&str> =
        profile.regions.iter().map(String::as_str).filter(|r| !table.contains(r)).collect();
    let fewer: Vec<&str> =
        table.iter().copied().filter(|r| !profile.regions.iter().any(|o| o == r)).collect();
    let differences = [("may reach", more), ("does not reach", fewer)];
    let differences: Vec<String> = differences
        .iter()
        .filter(|(_, regions)| !regions.is_empty())
        .map(|(verb, regions)| format!("{verb} {}", regions.join(", ")))
        .collect();
    let Profile { id, region, .. } = profile;
    let differences = (!differences.is_empty()).then(|| differences.join(" and "))?;
    Some(format!(
        "{id} in {region} {differences}, unlike the built-in table; Bedrock's description applies"
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/a1b2";
    const US: &str = "us.anthropic.claude-haiku";

    /// The id of a profile, and what the control plane answers.
    type Given<'a> = (&'a str, Result<Result<Profile, String>, Fault>);

    /// A control plane with one answer for each profile.
    struct Answers<'a> {
        answers: &'a [Given<'a>],
        asked: RefCell<Vec<String>>,
    }

    impl DescribeProfile for Answers<'_> {
        async fn describe_profile(
            &self,
            region: &str,
            id: &str,
        ) -> Result<Result<Profile, String>, Fault> {
            self.asked.borrow_mut().push(format!("{id} in {region}"));
            let (_, answer) = self.answers.iter().find(|(known, _)| *known == id).unwrap();
            answer.clone()
        }
    }

    fn profile(id: &str, regions: &[&str]) -> Profile {
        let regions = regions.iter().map(|region| region.to_string()).collect();
        let model = "anthropic.claude-haiku".into();
        Profile { region: "us-east-1".into(), id: id.into(), model, regions }
    }

    fn models() -> Models {
        let target = |id: &str| format!("    - {{ region: us-east-1, model_id: \"{id}\" }}\n");
        let ids = [US, "anthropic.claude-haiku", ARN].map(target).concat();
        let yaml = format!(
            "version: 1\nmodels:\n  haiku:\n    takes: {{ max_output_tokens: 1 }}\n    targets:\n{ids}"
        );
        from_yaml(&yaml).finished().unwrap()
    }

    async fn described(answers: &[Given<'_>], profiles: Profiles) -> Outcome<Described> {
        let stored = Stored { profiles, is_broken: false };
        let bedrock = Answers { answers, asked: RefCell::default() };
        let described = describe(&bedrock, &models(), stored).await;
        // A model without a profile has nothing to describe.
        let asked = [format!("{ARN} in us-east-1"), format!("{US} in us-east-1")];
        assert!(described.is_err() || bedrock.asked.into_inner() == asked);
        described
    }

    const TABLE: [&str; 3] = ["us-east-1", "us-east-2", "us-west-2"];

    fn denied() -> Result<Result<Profile, String>, Fault> {
        Err(Fault::internal("bedrock:GetInferenceProfile x: AccessDeniedException"))
    }

    #[tokio::test]
    async fn every_profile_is_asked_for_and_differences_are_reported_once() {
        let (arn, us) = (profile(ARN, &["us-east-1"]), profile(US, &["us-east-1", "us-west-1"]));
        let answers = [(ARN, Ok(Ok(arn.clone()))), (US, Ok(Ok(us.clone())))];
        let first = described(&answers, Profiles::default()).await.unwrap();
        assert_eq!(first.profiles.0, [arn, us]);
        let note = "us.anthropic.claude-haiku in us-east-1 may reach us-west-1 and does not reach us-east-2, us-west-2, \
                    unlike the built-in table; Bedrock's description applies";
        assert_eq!(first.notes, [note]);
        assert_eq!(first.line("dev").unwrap(), "  new        /bcce/dev/profiles, 2 profiles");
        let again = described(&answers, first.profiles.clone()).await.unwrap();
        assert_eq!(again.notes, [""; 0]);
        assert_eq!(again.line("dev").unwrap(), "  unchanged  /bcce/dev/profiles, 2 profiles");
    }

    #[tokio::test]
    async fn a_profile_that_does_not_exist_is_a_fault_of_its_target() {
        let gone = || Ok(Err("Bedrock does not describe it".to_owned()));
        let answers = [(ARN, gone()), (US, gone())];
        let described = described(&answers, Profiles::default()).await.unwrap();
        let expected = format!(
            "models.yaml: models.haiku.targets[2]: {ARN} in us-east-1 cannot be called: Bedrock does not describe it"
        );
        assert_eq!(
            described.unusable.iter().map(Finding::to_string).collect::<Vec<_>>(),
            [expected]
        );
        let note = format!(
            "models.yaml: models.haiku.targets[0]: {US} in us-east-1 cannot be called: Bedrock does not describe it"
        );
        assert_eq!(described.notes, [note], "calls fail over from it");
        let refused = described.check(Path::new("dev"), &Texts::new(), Date::MIN, "stop");
        assert!(refused.unwrap_err().what.contains("cannot be called"));
    }

    #[tokio::test]
    async fn without_an_answer_the_stored_description_counts_and_an_arn_needs_one() {
        let us = (US, denied());
        let failed = described(&[(ARN, denied()), us.clone()], Profiles::default()).await;
        assert!(failed.unwrap_err().what.contains("AccessDenied"));
        let stored = Profiles(vec![profile(ARN, &["us-east-1"])]);
        let described = described(&[(ARN, denied()), us], stored.clone()).await.unwrap();
        assert_eq!(described.profiles, stored);
        let ends = ["the description in the stack stays valid", "those of the built-in table"];
        for (note, end) in described.notes.iter().zip(ends) {
            assert!(note.ends_with(end), "{note}");
        }
    }

    #[tokio::test]
    async fn a_broken_document_is_repaired() {
        let answers = [(ARN, Ok(Ok(profile(ARN, &[])))), (US, Ok(Ok(profile(US, &TABLE))))];
        let mut described = described(&answers, Profiles::default()).await.unwrap();
        described.stored.is_broken = true;
        assert!(described.line("dev").unwrap().starts_with("  repaired   /bcce/dev/profiles"));
        described.profiles = Profiles::default();
        assert!(described.line("dev").is_some(), "also without a profile");
    }

    #[tokio::test]
    async fn what_runs_may_still_need_is_kept_until_the_documents_are_written() {
        let us = profile(US, &TABLE);
        let stored = Profiles(vec![profile("us.anthropic.old", &["us-east-1"])]);
        let answers = [(ARN, Ok(Ok(profile(ARN, &[])))), (US, Ok(Ok(us)))];
        let described = described(&answers, stored).await.unwrap();
        let ids = |profiles: &Profiles| profiles.0.iter().map(|p| p.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&described.with_stored()), [ARN, US, "us.anthropic.old"]);
        assert_eq!(ids(&described.profiles), [ARN, US]);
    }
}
