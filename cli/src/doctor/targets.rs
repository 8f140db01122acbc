//! Checks the targets of all aliases against what Bedrock says about them.

use std::collections::BTreeMap;

use bcce_aws::SdkConfig;
use bcce_aws::control::ControlPlane;
use bcce_aws::quotas::ServiceQuotas;
use bcce_core::base::error::Fault;
use bcce_core::config::template::Template;
use bcce_core::document::from_yaml;
use bcce_core::io::reader::Reader;
use bcce_core::io::standby::{ReadFacts, read_facts};
use bcce_core::standby::checks::{WatchedTarget, watched};
use bcce_core::standby::finding::{Finding, Level};
use time::OffsetDateTime;

use super::Check;
use crate::directory::Texts;
use crate::stack::Stack;

/// The targets, and what is wrong with them.
pub struct Facts {
    pub targets: Vec<WatchedTarget>,
    pub findings: Vec<Finding>,
    /// The questions that Bedrock did not answer.
    pub unread: Vec<String>,
}

/// Reads what Bedrock says about the targets, and compares it with the documents. `files` has the workflows.
///
/// # Errors
/// `Bcce.Internal`: a document about targets is missing or invalid.
pub async fn read(
    stack: &Stack,
    config: &SdkConfig,
    files: &Texts,
    now: OffsetDateTime,
) -> Result<Facts, Fault> {
    let endpoint = stack.outputs.bedrock_endpoint_url.clone().filter(|url| !url.is_empty());
    let reader = Reader {
        store: &stack.store,
        parameters: &stack.parameters,
        bucket: &stack.outputs.artifact_bucket,
        environment: &stack.environment,
    };
    let documents = reader.targets().await?;
    let targets = watched(&documents.models);
    let control = ControlPlane::new(config, endpoint.clone());
    let quotas = ServiceQuotas::new(config, endpoint);
    let ReadFacts { facts, unread } = read_facts(&control, &quotas, &targets, &documents).await;
    let max_tokens = max_tokens(files);
    let findings = documents.rules(&max_tokens, now).findings(&targets, &facts);
    Ok(Facts { targets, findings, unread: unread.into_iter().collect() })
}

/// Returns the largest `max_tokens` that the steps of `files` send to each alias. A request may name other aliases.
fn max_tokens(files: &Texts) -> BTreeMap<String, u32> {
    let workflows = files.iter().filter(|(file, _)| file.starts_with("workflows/"));
    let templates = workflows.filter_map(|(_, text)| from_yaml::<Template>(text).finished().ok());
    let mut largest = BTreeMap::new();
    for template in templates {
        for step in &template.steps {
            let aliases = std::iter::once(&step.model).chain(&template.request_models);
            for alias in aliases {
                let most: &mut u32 = largest.entry(alias.clone()).or_default();
                *most = step.answer_tokens().max(*most);
            }
        }
    }
    largest
}

pub fn check(facts: &Facts) -> Vec<Check> {
    let mut checks: Vec<Check> = facts.findings.iter().map(finding).collect();
    checks.extend(
        facts
            .unread
            .iter()
            .map(|message| Check::unread("bedrock", "targets", &Fault::internal(message.as_str()))),
    );
    let is_fine = |watched: &&WatchedTarget| {
        !facts.findings.iter().any(|finding| finding.target == watched.target)
    };
    checks.extend(facts.targets.iter().filter(is_fine).map(|watched| {
        let reason = format!("the targets of {} can be called", watched.aliases.join(", "));
        Check::pass("target", &watched.target.to_string(), reason)
    }));
    checks
}

/// Returns the check of a finding, which has the name of the finding's check.
pub fn finding(finding: &Finding) -> Check {
    let subject = format!("{} ({})", finding.target, finding.aliases.join(", "));
    let (name, cause, remedy) = (finding.check.as_str(), &*finding.cause, &*finding.remedy);
    match finding.level {
        Level::Fail => Check::fail(name, &subject, cause, remedy),
        Level::Warn => Check::warn(name, &subject, cause, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{State, documents};
    use bcce_core::config::models::Models;
    use bcce_core::standby::finding::Check as Kind;

    fn facts() -> Facts {
        let files = documents::texts(&documents::tests::shipped());
        let models: Models = from_yaml(&files["models.yaml"]).finished().unwrap();
        Facts { targets: watched(&models), findings: vec![], unread: vec![] }
    }

    #[test]
    fn each_target_without_a_finding_passes() {
        let facts = facts();
        let checks = check(&facts);
        assert_eq!(checks.len(), facts.targets.len());
        assert!(checks.iter().all(|check| check.state == State::Pass));
    }

    #[test]
    fn a_finding_keeps_its_name_its_level_and_its_remedy() {
        let mut facts = facts();
        let first = &facts.targets[0];
        let found = |level, check| Finding {
            level,
            check,
            target: first.target.clone(),
            aliases: vec!["haiku".into()],
            cause: "c".into(),
            remedy: "`r`".into(),
        };
        facts.findings = vec![found(Level::Fail, Kind::Quota), found(Level::Warn, Kind::Lifecycle)];
        facts.unread = vec!["bedrock:GetGuardrail in us-east-1: AccessDeniedException".into()];
        let checks = check(&facts);
        let states: Vec<_> = checks[..3].iter().map(|check| (check.name, check.state)).collect();
        let expected =
            [("quota", State::Fail), ("lifecycle", State::Warn), ("bedrock", State::Warn)];
        assert_eq!(states, expected);
        assert_eq!(checks[0].remedy, "`r`");
        assert!(checks[2].remedy.contains("bedrock:GetGuardrail"), "{:?}", checks[2]);
        assert_eq!(checks.len(), facts.targets.len() + 2);
    }

    #[test]
    fn the_largest_answer_of_the_steps_of_an_alias_counts() {
        let workflow = |n: u32| {
            format!(
                "version: 1\nname: a\nrequest_models: [opus]\nsteps:\n- {{ id: s, model: haiku, max_tokens: {n}, prompt: p }}\n"
            )
        };
        let files = [("workflows/a.yaml", workflow(10)), ("workflows/b.yaml", workflow(30))];
        let files = files.map(|(file, text)| (file.to_owned(), text)).into();
        let expected = [("haiku".to_owned(), 30), ("opus".to_owned(), 30)];
        assert_eq!(max_tokens(&files), expected.into());
    }
}
