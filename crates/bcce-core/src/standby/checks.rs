//! Compares what Bedrock says about a target with the documents.

mod life; // the life cycle of a model, and its price
mod reach; // the regions of a profile
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::base::figures::count;
use crate::base::target::Target;
use crate::config::models::{Models, Takes};
use crate::config::policy::Policy;
use crate::config::pricing::Prices;
use crate::config::profiles::Profiles;
use crate::config::residency::base_model;
use crate::failover::breaker::target_key;
use crate::standby::facts::{Access, Agreement, TargetFacts};
use crate::standby::finding::{Check, Finding, Level};
use crate::standby::quotas::CallQuotas;

/// A target of one alias or several.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedTarget {
    pub target: Target,
    /// The aliases that list the target, in alphabetical order.
    pub aliases: Vec<String>,
    /// The settings that the first of these aliases says it accepts.
    pub takes: Takes,
}

impl WatchedTarget {
    /// Returns the key of the target in the ledger.
    pub fn key(&self) -> String {
        target_key(&self.target)
    }
}

/// Returns each target of `models` once, in the order of the aliases.
pub fn watched(models: &Models) -> Vec<WatchedTarget> {
    let mut found: Vec<WatchedTarget> = Vec::new();
    for (alias, model) in &models.models {
        for (target, takes) in model.targets().zip(model.taken()) {
            match found.iter_mut().find(|watched| watched.target == *target) {
                Some(watched) => watched.aliases.push(alias.clone()),
                None => found.push(WatchedTarget {
                    target: target.clone(),
                    aliases: vec![alias.clone()],
                    takes,
                }),
            }
        }
    }
    found
}

/// The documents that targets are checked against.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a Policy,
    pub prices: &'a Prices,
    /// The descriptions of profiles that the stack has.
    pub profiles: &'a Profiles,
    /// The largest `max_tokens` that a step sends to each alias. An alias that is missing is not checked.
    pub max_tokens: &'a BTreeMap<String, u32>,
    pub now: OffsetDateTime,
}

impl Rules<'_> {
    /// Returns what is wrong with `targets`, in their order. `facts` has the facts of each.
    pub fn findings(&self, targets: &[WatchedTarget], facts: &[TargetFacts]) -> Vec<Finding> {
        let each = targets.iter().zip(facts);
        each.flat_map(|(watched, facts)| self.check(watched, facts)).collect()
    }

    /// Returns what is wrong with a target, the worst first. A fact that is not known finds nothing.
    pub fn check(&self, watched: &WatchedTarget, facts: &TargetFacts) -> Vec<Finding> {
        let mut all = Found { watched, findings: Vec::new() };
        self.check_model(&mut all, facts);
        if let Some(access) = &facts.access {
            check_access(&mut all, access, self.model(&watched.target));
        }
        self.check_reach(&mut all, facts);
        check_guardrail(&mut all, facts);
        self.check_retention(&mut all, facts);
        self.check_quotas(&mut all, facts);
        self.check_price(&mut all, facts);
        all.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        all.findings
    }

    /// Returns the model behind a target, without the prefix of a profile.
    fn model<'b>(&'b self, target: &'b Target) -> &'b str {
        base_model(self.profiles.resolve(&target.region, &target.model_id))
    }

    fn check_retention(&self, all: &mut Found<'_>, facts: &TargetFacts) {
        let allowed = &self.policy.data_retention;
        let Some(mode) = facts.retention.filter(|mode| !allowed.contains(mode)) else { return };
        if allowed.is_empty() {
            return;
        }
        let region = &all.watched.target.region;
        let names: Vec<&str> = allowed.iter().map(|mode| mode.as_str()).collect();
        let cause = format!(
            "the data retention of the account in {region} is {}, and policy.yaml allows {}",
            mode.as_str(),
            names.join(", ")
        );
        let remedy = format!(
            "`aws bedrock put-account-data-retention --mode {} --region {region}`, or add the mode to `data_retention` in policy.yaml",
            names[0]
        );
        all.fail(Check::Retention, cause, remedy);
    }

    fn check_quotas(&self, all: &mut Found<'_>, facts: &TargetFacts) {
        let target = &all.watched.target;
        let Some(quotas) = &facts.quotas else { return };
        let resolved = self.profiles.resolve(&target.region, &target.model_id);
        let found = CallQuotas::of(resolved, quotas);
        for quota in found.all().filter(|quota| quota.value <= 0.0) {
            let cause = format!("the quota \"{}\" is 0 in {}", quota.name, target.region);
            let remedy = format!(
                "`aws service-quotas request-service-quota-increase --service-code bedrock --quota-code {} --desired-value N --region {}`; AWS Support raises a quota of a new account",
                quota.code, target.region
            );
            all.fail(Check::Quota, cause, remedy);
        }
        let Some(quota) = found.tokens_per_minute.filter(|quota| quota.value > 0.0) else { return };
        let sent = all.watched.aliases.iter().filter_map(|alias| self.max_tokens.get(alias)).max();
        if let Some(sent) = sent.filter(|sent| f64::from(**sent) > quota.value) {
            let cause = format!(
                "a step has `max_tokens: {sent}`, and the quota is {} tokens per minute: Bedrock throttles each of its calls",
                count(quota.value as u64)
            );
            let remedy = format!(
                "lower `max_tokens` in the workflow, or raise the quota: `aws service-quotas request-service-quota-increase --service-code bedrock --quota-code {} --desired-value N --region {}`",
                quota.code, target.region
            );
            all.fail(Check::MaxTokens, cause, remedy);
        }
    }
}

fn check_access(all: &mut Found<'_>, access: &Access, model: &str) {
    let region = all.watched.target.region.clone();
    let offers = format!(
        "`aws bedrock list-foundation-model-agreement-offers --model-id {model} --region {region}`"
    );
    let accept = format!(
        "accept the agreement: {offers} has the token for `aws bedrock create-foundation-model-agreement --model-id {model} --offer-token TOKEN --region {region}`"
    );
    match &access.agreement {
        Agreement::Missing => {
            let cause = "the account has no agreement with the provider of the model";
            all.fail(Check::Access, cause.to_owned(), accept);
        }
        Agreement::Failed(reason) => {
            let cause = format!("the agreement with the provider of the model failed: {reason}");
            all.fail(Check::Access, cause, accept);
        }
        Agreement::Pending => {
            let cause = "the agreement with the provider of the model is being created";
            let remedy = "wait 15 minutes, then check again".to_owned();
            all.warn(Check::Access, cause.to_owned(), remedy);
        }
        Agreement::Accepted => {}
    }
    if !access.is_authorized || !access.is_entitled {
        let lacks = if access.is_authorized { "is not entitled to" } else { "may not call" };
        let remedy = format!(
            "send Anthropic's use-case form and allow the model in the Bedrock console of {region}; `aws bedrock get-foundation-model-availability --model-id {model} --region {region}` shows the state"
        );
        all.fail(Check::Access, format!("the account {lacks} the model in {region}"), remedy);
    }
    if !access.is_in_region {
        let remedy =
            "choose another region for the target in models.yaml, then `bcce config push DIR`";
        all.fail(Check::Model, format!("{region} does not have the model"), remedy.to_owned());
    }
}

fn check_guardrail(all: &mut Found<'_>, facts: &TargetFacts) {
    let target = &all.watched.target;
    let (Some(guardrail), Some(Err(reason))) = (&target.guardrail, &facts.guardrail) else {
        return;
    };
    let (id, version, region) = (&guardrail.id, &guardrail.version, &target.region);
    let cause =
        format!("the guardrail {id}, version {version}, cannot be used in {region}: {reason}");
    let remedy = format!(
        "`aws bedrock list-guardrails --region {region}` lists those of the region; correct `guardrail` in models.yaml, then `bcce config push DIR`"
    );
    all.fail(Check::Guardrail, cause, remedy);
}

/// The findings about one target.
struct Found<'a> {
    watched: &'a WatchedTarget,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn fail(&mut self, check: Check, cause: String, remedy: String) {
        self.add(Level::Fail, check, cause, remedy);
    }

    fn warn(&mut self, check: Check, cause: String, remedy: String) {
        self.add(Level::Warn, check, cause, remedy);
    }

    /// Adds a finding. The first of a check stays, because the others follow from it.
    fn add(&mut self, level: Level, check: Check, cause: String, remedy: String) {
        if self.findings.iter().all(|finding| finding.check != check) {
            self.findings.push(self.watched.finding(level, check, cause, remedy));
        }
    }
}

impl WatchedTarget {
    /// Returns a finding about this target.
    pub fn finding(&self, level: Level, check: Check, cause: String, remedy: String) -> Finding {
        let (target, aliases) = (self.target.clone(), self.aliases.clone());
        Finding { level, check, target, aliases, cause, remedy }
    }
}
