//! Checks a directory of documents as a whole: each file as `prepare` checks it, and the references between the files.

use std::collections::{BTreeMap, BTreeSet};

use time::Date;

use crate::base::error::{Problem, Problems};
use crate::base::names::check_name;
use crate::base::target::Target;
use crate::config::admission::request_model;
use crate::config::budgets::{Budgets, Scope};
use crate::config::models::prefixes::too_short;
use crate::config::models::{Model, Models};
use crate::config::policy::cost_tags::OTHER;
use crate::config::policy::{EVERY_OTHER_TENANT, Policy, TenantRequest};
use crate::config::pricing::Prices;
use crate::config::profiles::{Profiles, region_of_profile};
use crate::config::residency::base_model;
use crate::config::routing::Routing;
use crate::config::template::Template;
use crate::config::webhook::{Rule, Source};
use crate::document::{Document, Draft, from_yaml};

/// The documents of an environment, in addition to its workflows. It need not have budgets.
pub const DOCUMENTS: [&str; 5] = ["budgets", "models", "policy", "prices", "routing"];

/// The tenant of the stack's own inbox.
const DEFAULT_TENANT: &str = "default";

/// One problem or warning of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path within the directory.
    pub file: String,
    pub problem: Problem,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file, self.problem)
    }
}

/// The folders of the directory. An environment has any number of documents in each.
pub const FOLDERS: [&str; 2] = ["workflows", "webhooks"];

/// Returns the name of a file's document in SSM: `models` for `models.yaml`, `workflows/explain` for
/// `workflows/explain.yaml`. Returns `None` if the file is not part of a configuration.
pub fn document_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".yaml")?;
    let is_known = match name.split_once('/') {
        Some((folder, name)) => FOLDERS.contains(&folder) && !name.contains('/'),
        None => DOCUMENTS.contains(&name),
    };
    is_known.then_some(name)
}

/// Checks `files`, which are texts by their path within the directory. [`check_targets`] checks what depends on the
/// inference profiles of targets.
pub fn check(files: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Findings::default();
    for file in files.keys().filter(|file| document_name(file).is_none()) {
        findings.add(
            file,
            "document",
            "is not part of a configuration: expected budgets.yaml, models.yaml, policy.yaml, prices.yaml, routing.yaml, workflows/<name>.yaml or webhooks/<source>.yaml",
        );
    }
    let models = findings.document::<Models>(files, "models.yaml");
    let policy = findings.document::<Policy>(files, "policy.yaml");
    findings.document::<Prices>(files, "prices.yaml");
    findings.document::<Routing>(files, "routing.yaml");
    let budgets = files.get("budgets.yaml");
    let budgets = budgets.map(|_| findings.document::<Budgets>(files, "budgets.yaml"));
    let templates = findings.templates(files);
    let sources = findings.sources(files);
    // References between files are checked only where the files have no stand-ins.
    let Some(models) = models.whole() else { return findings.0 };
    for (file, template) in &templates {
        let steps = template.value.iter().flat_map(|template| &template.steps);
        findings.extend(file, models.check_steps(steps).except(&template.stand_ins));
        let listed = template.value.as_ref().map(|template| template.check_request_models(models));
        findings.extend(file, listed.unwrap_or_default().except(&template.stand_ins));
    }
    for (file, source) in &sources {
        let found = started(source, &templates, models, policy.whole());
        findings.extend(file, found.except(&source.stand_ins));
    }
    if let (Some(budgets), Some(policy)) = (budgets.as_ref().and_then(Draft::whole), policy.whole())
    {
        findings.extend("budgets.yaml", payers(budgets, &templates, policy));
    }
    if let Some(policy) = policy.whole() {
        findings.extend("policy.yaml", matched(&templates, models, policy));
    }
    findings.0
}

/// Checks the targets of `files` whose documents are valid: each must have a price on the day `today`, in UTC, and the
/// policy must allow at least one of each alias. The model and the regions of an application inference profile are
/// checked only if `profiles` has it.
pub fn check_targets(
    files: &BTreeMap<String, String>,
    today: Date,
    profiles: &Profiles,
) -> Vec<Finding> {
    fn draft<T: Document>(files: &BTreeMap<String, String>, file: &str) -> Option<Draft<T>> {
        files.get(file).map(|text| from_yaml(text))
    }
    let mut findings = Findings::default();
    let models = draft::<Models>(files, "models.yaml");
    let Some(models) = models.as_ref().and_then(Draft::whole) else { return findings.0 };
    findings.extend("models.yaml", in_region(models));
    let policy = draft::<Policy>(files, "policy.yaml");
    if let Some(policy) = policy.as_ref().and_then(Draft::whole) {
        findings.extend("models.yaml", allowed(models, policy, profiles));
    }
    let prices = draft::<Prices>(files, "prices.yaml");
    if let Some(prices) = prices.as_ref().and_then(Draft::whole) {
        findings.extend("prices.yaml", priced(models, prices, profiles, today));
    }
    findings.0
}

/// The age of a price file in days above which a person should check it.
const OLD_PRICES_DAYS: i64 = 90;

/// Returns warnings about valid settings in `files` that a person should know about on the day `today`. A warning does
/// not stop a push.
pub fn warnings(files: &BTreeMap<String, String>, today: Date) -> Vec<Finding> {
    let mut warnings = Findings::default();
    if let Some(cause) = files.get("prices.yaml").and_then(|text| doubtful_date(text, today)) {
        warnings.add("prices.yaml", "date", &cause);
    }
    short_prefixes(files, &mut warnings);
    let policy =
        files.get("policy.yaml").and_then(|text| from_yaml::<Policy>(text).finished().ok());
    if policy.is_some_and(|policy| policy.tenants.is_none()) {
        warnings.add(
            "policy.yaml",
            "tenants",
            "is not set: every tenant may start every workflow and use every alias; add a rule for each tenant under \
             `tenants` to restrict that (docs/tenants.md)",
        );
    }
    let none = || Ok(Budgets::default());
    let budgets = files.get("budgets.yaml").map_or_else(none, |text| from_yaml(text).finished());
    if let Ok(budgets) = budgets {
        let limits = budgets.limit_warnings(&workflow_names(files.keys()));
        warnings.extend("budgets.yaml", limits);
    }
    warnings.0
}

/// Adds a warning for each step whose cached prefix is too short for a target of its model.
fn short_prefixes(files: &BTreeMap<String, String>, warnings: &mut Findings) {
    let models = files.get("models.yaml").map(|text| from_yaml::<Models>(text).finished());
    let Some(Ok(models)) = models else { return };
    for (file, text) in files.iter().filter(|(file, _)| file.starts_with("workflows/")) {
        let Ok(template) = from_yaml::<Template>(text).finished() else { continue };
        for step in &template.steps {
            let short = models.models.get(&step.model).and_then(|model| too_short(step, model));
            short.into_iter().for_each(|cause| {
                warnings.add(file, &format!("steps.{}.cache", step.id), &cause);
            });
        }
    }
}

/// Returns the names of the workflows among `files`.
fn workflow_names<'a>(files: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    files.filter_map(|file| document_name(file)?.strip_prefix("workflows/")).collect()
}

/// Returns the reason why the day on which the prices were checked is doubtful, or `None` if it is not.
fn doubtful_date(prices: &str, today: Date) -> Option<String> {
    let date = from_yaml::<Prices>(prices).finished().ok()?.date;
    match (today - date).whole_days() {
        ..0 => Some(format!("is later than today, {today} in UTC")),
        0..=OLD_PRICES_DAYS => None,
        days => Some(format!(
            "the prices were checked {days} days ago; compare them with `bcce prices import` or with your price list, and \
             set the date (docs/prices.md)"
        )),
    }
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, file: &str, field: &str, cause: &str) {
        self.extend(file, Problems::one(field, cause));
    }

    fn extend(&mut self, file: &str, problems: Problems) {
        let found = problems
            .iter()
            .map(|problem| Finding { file: file.to_owned(), problem: problem.clone() });
        self.0.extend(found);
    }

    /// Parses a document as far as possible, and adds its problems.
    fn document<T: Document>(&mut self, files: &BTreeMap<String, String>, file: &str) -> Draft<T> {
        let missing = || Draft::unreadable(Problems::one("document", "is missing"));
        let draft = files.get(file).map_or_else(missing, |text| from_yaml(text));
        self.extend(file, draft.problems.clone());
        draft
    }

    fn templates(&mut self, files: &BTreeMap<String, String>) -> Vec<(String, Draft<Template>)> {
        let mut templates = Vec::new();
        for file in files.keys() {
            let name = document_name(file).and_then(|name| name.strip_prefix("workflows/"));
            let Some(name) = name else { continue };
            let draft = self.document::<Template>(files, file);
            if let Some(template) = draft.value.as_ref().filter(|template| template.name != name) {
                let cause = format!("is {}, the file is named {name}", template.name);
                self.extend(file, Problems::one("name", cause).except(&draft.stand_ins));
            }
            templates.push((file.clone(), draft));
        }
        templates
    }

    fn sources(&mut self, files: &BTreeMap<String, String>) -> Vec<(String, Draft<Source>)> {
        let mut sources = Vec::new();
        for file in files.keys() {
            let name = document_name(file).and_then(|name| name.strip_prefix("webhooks/"));
            let Some(name) = name else { continue };
            let mut problems = Problems::default();
            // The name is part of the URL that a provider calls.
            check_name(&mut problems, "file name", name);
            self.extend(file, problems);
            sources.push((file.clone(), self.document::<Source>(files, file)));
        }
        sources
    }
}

/// Checks the rules of a webhook source. The workflow and the model of a rule must exist. Its inputs and tags must be
/// allowed, and none that is required may be missing. A rule that is wrong in one of these would be refused at each
/// event, without an error for the provider.
fn started(
    source: &Draft<Source>,
    templates: &[(String, Draft<Template>)],
    models: &Models,
    policy: Option<&Policy>,
) -> Problems {
    let mut problems = Problems::default();
    let tenant = source.value.as_ref().and_then(|source| source.tenant.as_deref());
    let tenant = tenant.unwrap_or(DEFAULT_TENANT);
    for rule in source.value.iter().flat_map(|source| &source.rules) {
        let mut found = Problems::default();
        let unknown = rule.model.as_ref().filter(|alias| !models.models.contains_key(*alias));
        if let Some(alias) = unknown {
            found.add("model", format!("there is no model {alias}"));
        }
        let required = policy.iter().flat_map(|policy| &policy.required_tags);
        for tag in required.filter(|tag| !rule.tags.contains_key(*tag)) {
            found.add(format!("tags.{tag}"), "is missing, and policy.yaml requires it");
        }
        let file = format!("workflows/{}.yaml", rule.workflow);
        match templates.iter().find(|(name, _)| *name == file) {
            None => found.add("workflow", format!("there is no {file}")),
            Some((_, template)) => {
                if let Some(whole) = template.whole() {
                    found.extend(fed(rule, whole));
                    found.extend(admitted(tenant, rule, whole, models, policy));
                }
            }
        }
        problems.extend(found.below(&format!("rules.{}", rule.id)));
    }
    problems
}

/// Checks that the tenant of the source may start the workflow with the rule's model. The tags are not checked, because an
/// event determines them.
fn admitted(
    tenant: &str,
    rule: &Rule,
    template: &Template,
    models: &Models,
    policy: Option<&Policy>,
) -> Problems {
    let known = rule.model.as_deref().filter(|alias| models.models.contains_key(*alias));
    let mut problems = Problems::default();
    if let Some(alias) = known {
        problems.extend(request_model(template, models, alias));
    }
    let steps = template.steps.iter().map(|step| (step.id.as_str(), step.model.as_str()));
    let asked = TenantRequest {
        tenant,
        workflow: &template.name,
        model: known,
        steps: steps.collect(),
        tags: &BTreeMap::new(),
    };
    problems.extend(policy.map(|policy| policy.check_tenant(&asked)).unwrap_or_default());
    problems
}

/// Checks the inputs that a rule passes to a workflow, as far as they do not depend on an event.
fn fed(rule: &Rule, template: &Template) -> Problems {
    let mut problems = Problems::default();
    for (name, value) in &rule.inputs {
        let field = format!("inputs.{name}");
        match template.inputs.get(name) {
            None => problems.add(field, format!("{} has no such input", rule.workflow)),
            Some(_) if value.to_string().contains("{{") => {}
            Some(spec) => problems.extend(spec.check(&field, value)),
        }
    }
    let needed = template.inputs.iter().filter(|(_, input)| input.required);
    for (name, _) in needed.filter(|(name, _)| !rule.inputs.contains_key(*name)) {
        let cause = format!("is missing, and {} needs it", rule.workflow);
        problems.add(format!("inputs.{name}"), cause);
    }
    problems
}

/// Checks that each ARN of an inference profile is called in its own region.
fn in_region(models: &Models) -> Problems {
    let mut problems = Problems::default();
    for (alias, model) in &models.models {
        for (n, target) in model.targets().enumerate() {
            let region = region_of_profile(&target.model_id).unwrap_or(&target.region);
            let cause = format!("must be {region}, the region of the profile");
            let field = format!("models.{alias}.targets[{n}].region");
            problems.check(region == target.region, field, cause);
        }
    }
    problems
}

/// Returns `true` if only Bedrock knows what the target reaches, and it has not been asked.
fn is_undescribed(target: &Target, profiles: &Profiles) -> bool {
    let Target { region, model_id, .. } = target;
    region_of_profile(model_id).is_some() && profiles.get(region, model_id).is_none()
}

/// Checks that the policy allows at least one target of each alias.
fn allowed(models: &Models, policy: &Policy, profiles: &Profiles) -> Problems {
    let mut problems = Problems::default();
    let is_known = |model: &Model| {
        !model.targets.is_empty() && !model.targets().any(|target| is_undescribed(target, profiles))
    };
    for (alias, model) in models.models.iter().filter(|(_, model)| is_known(model)) {
        if let Some(reasons) = policy.forbids_all(model.targets(), profiles) {
            let cause = format!("policy.yaml allows none of them ({reasons})");
            problems.add(format!("models.{alias}.targets"), cause);
        }
    }
    problems
}

/// Checks that the workflows, tenants and tags that budgets name exist. A budget with a misspelled name would apply to
/// nothing.
fn payers(budgets: &Budgets, templates: &[(String, Draft<Template>)], policy: &Policy) -> Problems {
    let mut problems = Problems::default();
    let workflows = workflow_names(templates.iter().map(|(file, _)| file));
    for (name, budget) in &budgets.budgets {
        let field = format!("budgets.{name}");
        let (what, known) = match &budget.scope {
            Scope::Environment => continue,
            Scope::Workflow | Scope::Run | Scope::Batch => ("workflow", workflows.clone()),
            // Without rules, or with a rule for every other tenant, any name may be that of a tenant.
            Scope::Tenant => match &policy.tenants {
                Some(rules) if !rules.contains_key(EVERY_OTHER_TENANT) => {
                    ("tenant", rules.keys().map(String::as_str).collect())
                }
                _ => continue,
            },
            Scope::Tag(tag) => match policy.cost_tags.get(tag) {
                Some(values) => {
                    ("value", values.iter().map(String::as_str).chain([OTHER]).collect())
                }
                None => {
                    let cause = format!(
                        "{tag} is not among the cost_tags of policy.yaml; list it there with its values (docs/costs.md)"
                    );
                    problems.add(format!("{field}.scope"), cause);
                    continue;
                }
            },
        };
        for only in budget.only.iter().filter(|only| !known.contains(&only.as_str())) {
            let cause = format!("there is no {what} {only}; there are: {}", known.join(", "));
            problems.add(format!("{field}.only"), cause);
        }
    }
    problems
}

/// Checks that each pattern of a tenant's rule matches a workflow or an alias.
fn matched(templates: &[(String, Draft<Template>)], models: &Models, policy: &Policy) -> Problems {
    let workflows = workflow_names(templates.iter().map(|(file, _)| file)).into_iter().collect();
    policy.check_patterns(&workflows, &models.models.keys().map(String::as_str).collect())
}

/// Checks that each target has a price today, because it may be called as soon as the files are pushed. Reports a
/// missing price once per model and not once per inference profile.
fn priced(models: &Models, prices: &Prices, profiles: &Profiles, today: Date) -> Problems {
    let mut problems = Problems::default();
    let mut checked = BTreeSet::new();
    for (alias, model) in &models.models {
        let known = model.targets().filter(|target| !is_undescribed(target, profiles));
        let resolved = known.map(|target| profiles.resolve(&target.region, &target.model_id));
        for base in resolved.map(base_model) {
            if checked.insert(base)
                && let Some(cause) = unpriced(prices, base, today)
            {
                let cause = format!("{cause}, and the model {alias} calls it");
                problems.add(format!("models.{base}"), cause);
            }
        }
    }
    problems
}

/// Returns the reason why a call would have no price today, or `None` if it has one.
fn unpriced(prices: &Prices, base: &str, today: Date) -> Option<String> {
    let Some(rows) = prices.models.get(base) else { return Some("is missing".to_owned()) };
    match (rows.on(today), rows.0.first()) {
        (None, Some(first)) => Some(format!("has no price before {}", first.from)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::config::profiles::Profile;

    const FILES: [(&str, &str); 10] = [
        ("budgets.yaml", include_str!("../../../../infra/config/dev/budgets.yaml")),
        ("models.yaml", include_str!("../../../../infra/config/dev/models.yaml")),
        ("policy.yaml", include_str!("../../../../infra/config/dev/policy.yaml")),
        ("prices.yaml", include_str!("../../../../infra/config/dev/prices.yaml")),
        ("routing.yaml", include_str!("../../../../infra/config/dev/routing.yaml")),
        ("webhooks/github.yaml", include_str!("../../../../infra/config/dev/webhooks/github.yaml")),
        (
            "workflows/bug-hunt.yaml",
            include_str!("../../../../infra/config/dev/workflows/bug-hunt.yaml"),
        ),
        (
            "workflows/docs-gen.yaml",
            include_str!("../../../../infra/config/dev/workflows/docs-gen.yaml"),
        ),
        (
            "workflows/code-review.yaml",
            include_str!("../../../../infra/config/dev/workflows/code-review.yaml"),
        ),
        (
            "workflows/explain.yaml",
            include_str!("../../../../infra/config/dev/workflows/explain.yaml"),
        ),
    ];

    fn files() -> BTreeMap<String, String> {
        FILES.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect()
    }

    fn reported(files: &BTreeMap<String, String>) -> Vec<String> {
        findings_on(files, date!(2026 - 11 - 28))
    }

    fn findings_on(files: &BTreeMap<String, String>, today: Date) -> Vec<String> {
        let mut found = check(files);
        found.extend(check_targets(files, today, &Profiles::default()));
        found.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn the_configuration_of_this_repository_is_right() {
        assert_eq!(reported(&files()), [""; 0]);
    }

    #[test]
    fn a_rule_of_a_webhook_is_checked_for_the_tenant_of_its_source() {
        let of_tenant = |may_start: [&str; 2]| {
            let [default, payments] = may_start;
            let rules = format!(
                "tenants: {{ default: {{ workflows: [{default}], models: [\"*\"] }}, payments: {{ workflows: [{payments}], models: [\"*\"] }} }}"
            );
            let mut files = files();
            let mut replace = |file: &str, from: &str, to: &str| {
                let text = files.get_mut(file).unwrap();
                *text = text.replace(from, to);
            };
            replace("policy.yaml", "required_tags: []", &rules);
            replace(
                "webhooks/github.yaml",
                "provider: github",
                "provider: github\ntenant: payments",
            );
            reported(&files)
        };
        assert_eq!(of_tenant(["docs-gen", "explain"]), [""; 0]);
        let refused = of_tenant(["explain", "docs-gen"]).join("; ");
        assert!(refused.contains("tenant payments may not start explain"), "{refused}");
    }

    #[test]
    fn each_fault_is_reported_with_its_file_and_field() {
        #[rustfmt::skip]
        let table = [
            ("models.yaml", "sonnet:", "sonett:", "workflows/code-review.yaml: steps.verdict.model: there is no model sonnet; there are: haiku, opus, sonett"),
            ("models.yaml", "effort: [low, medium, high, xhigh, max]", "effort: [high]", "workflows/code-review.yaml: steps.verdict.effort: sonnet takes one of high"),
            ("models.yaml", "max_output_tokens: 128000", "max_output_tokens: 300", "workflows/code-review.yaml: steps.verdict.max_tokens: sonnet gives at most 300"),
            ("models.yaml", "region: us-east-1", "region: eu-west-1", "models.yaml: models.haiku.targets[0]: us.anthropic.claude-haiku-5-5 is not callable from eu-west-1"),
            ("models.yaml", "us.anthropic.claude-opus-5", "us.anthropic.claude-opus-6", "prices.yaml: models.anthropic.claude-opus-6: is missing, and the model opus calls it"),
            ("policy.yaml", "us-east-2, ", "", "models.yaml: models.haiku.targets: policy.yaml allows none of them (us.anthropic.claude-haiku"),
            ("policy.yaml", "anthropic.claude-*", "anthropic.claude-[", "models.yaml: models.opus.targets: policy.yaml allows none"),
            ("policy.yaml", "required_tags", "required_tag", "policy.yaml: required_tag: is unknown; there are: version, allowed_regions, allowed_models, required_tags, ceilings, cost_tags, tenants, data_retention; did you mean required_tags?"),
            ("prices.yaml", "input: \"5\"", "input: \"0\"", "prices.yaml: models.anthropic.claude-opus-5[0].price.input: must be above 0"),
            ("routing.yaml", "attempts: 8", "attempts: 0", "routing.yaml: attempts: must be 1 to 50"),
            ("webhooks/github.yaml", "workflow: explain", "workflow: explains", "webhooks/github.yaml: rules.issue-opened.workflow: there is no workflows/explains.yaml"),
            ("webhooks/github.yaml", "text: ", "texts: ", "webhooks/github.yaml: rules.issue-opened.inputs.texts: explain has no such input"),
            ("webhooks/github.yaml", "text: ", "texts: ", "webhooks/github.yaml: rules.issue-opened.inputs.text: is missing, and explain needs it"),
            ("webhooks/github.yaml", "    tags:", "    model: hiaku\n    tags:", "webhooks/github.yaml: rules.issue-opened.model: there is no model hiaku"),
            ("webhooks/github.yaml", "audience: maintainer who has not seen it yet", "audience: 7", "webhooks/github.yaml: rules.issue-opened.inputs.audience: must be a string"),
            ("policy.yaml", "required_tags: []", "required_tags: [team]", "webhooks/github.yaml: rules.issue-opened.tags.team: is missing, and policy.yaml requires it"),
            ("policy.yaml", "required_tags: []", "tenants: { a: { workflows: [explian], models: [\"*\"] } }", "policy.yaml: tenants.a.workflows[0]: explian matches none; there are: bug-hunt, code-review, docs-gen, explain"),
            ("policy.yaml", "required_tags: []", "tenants: { a: { workflows: [\"*\"], models: [hiaku] } }", "policy.yaml: tenants.a.models[0]: hiaku matches none; there are: haiku, opus, sonnet"),
            ("policy.yaml", "required_tags: []", "tenants: { default: { workflows: [code-*], models: [\"*\"] } }", "webhooks/github.yaml: rules.issue-opened.workflow: tenant default may not start explain"),
            ("webhooks/github.yaml", "workflow: explain", "workflow: code-review\n    model: opus", "webhooks/github.yaml: rules.issue-opened.model: opus is not among the models that a request may name: code-review allows none"),
            ("workflows/explain.yaml", "request_models: [haiku,", "request_models: [hiaku,", "workflows/explain.yaml: request_models[0]: there is no model hiaku"),
            ("policy.yaml", "required_tags: []", "ceilings: { run_usd: \"5.00\" }", "policy.yaml: ceilings: has moved to budgets.yaml: { scope: run, usd: … }"),
            ("budgets.yaml", "scope: run, usd: \"5.00\"", "scope: run, usd: 0", "budgets.yaml: budgets.one-run.usd: must be above 0 USD"),
            ("budgets.yaml", "scope: batch,", "scope: batch, window: day,", "budgets.yaml: budgets.one-batch.window: must be left out"),
            ("webhooks/github.yaml", "provider: github", "provider: gitlab", "webhooks/github.yaml: provider: "),
            ("workflows/explain.yaml", "name: explain", "name: explains", "workflows/explain.yaml: name: is explains, the file is named explain"),
            ("workflows/explain.yaml", "inputs.audience", "inputs.reader", "workflows/explain.yaml: steps.answer.prompt: reads inputs.reader"),
        ];
        for (file, from, to, expected) in table {
            let mut files = files();
            let text = files.get_mut(file).unwrap();
            assert!(text.contains(from), "{from} is not in {file}");
            *text = text.replace(from, to);
            let reported = reported(&files);
            assert!(
                reported.iter().any(|line| line.contains(expected)),
                "{expected} is missing in {reported:#?}"
            );
        }
    }

    #[test]
    fn what_is_open_is_said_and_stops_nothing() {
        let reported = |policy: &str, budgets: Option<&str>| {
            let policy = ("policy.yaml".to_owned(), policy.to_owned());
            let mut files = BTreeMap::from([policy, ("workflows/a.yaml".into(), String::new())]);
            files.extend(budgets.map(|text| ("budgets.yaml".to_owned(), text.to_owned())));
            let warned = warnings(&files, date!(2026 - 11 - 28));
            warned.iter().map(Finding::to_string).collect::<Vec<_>>()
        };
        for budgets in [None, Some("version: 1\n")] {
            let open = reported("version: 1\n", budgets);
            assert_eq!(open.len(), 3, "{open:#?}");
            assert!(
                open[0].starts_with("policy.yaml: tenants: is not set: every tenant"),
                "{open:#?}"
            );
            let expected = "budgets.yaml: budgets: the cost of one run has no limit";
            assert!(open[1].starts_with(expected), "{open:#?}");
        }
        let limits =
            "version: 1\nbudgets: { r: { scope: run, usd: 5 }, b: { scope: batch, usd: 9 } }\n";
        assert_eq!(reported("version: 1\ntenants: {}\n", Some(limits)), [""; 0]);
        let wrong = reported("version: 7\n", Some("version: 7\n"));
        assert_eq!(wrong, [""; 0], "the check reports what is wrong");
    }

    #[test]
    fn a_cached_prefix_that_is_too_short_is_said() {
        let warned = |from: &str, to: &str| {
            let mut files = files();
            let text = files.get_mut("workflows/explain.yaml").unwrap();
            assert!(text.contains(from), "{text}");
            *text = text.replace(from, to);
            let found = warnings(&files, date!(2026 - 11 - 28));
            found
                .iter()
                .map(Finding::to_string)
                .filter(|line| line.contains("cache"))
                .collect::<Vec<_>>()
        };
        assert_eq!(warned("    max_tokens", "    max_tokens"), [""; 0]);
        let short =
            warned("    max_tokens", "    system: Be brief.\n    cache: 1h\n    max_tokens");
        let expected = "workflows/explain.yaml: steps.answer.cache: the static prefix has at most about 3 tokens";
        assert!(short.len() == 1 && short[0].starts_with(expected), "{short:?}");
    }

    #[test]
    fn prices_that_nobody_has_checked_for_long_are_doubtful() {
        let warned = |today| {
            let prices = files().remove("prices.yaml").unwrap();
            let files = [("prices.yaml".to_owned(), prices)].into();
            warnings(&files, today).iter().map(Finding::to_string).collect::<Vec<_>>()
        };
        assert_eq!(warned(date!(2027 - 02 - 26)), [""; 0], "90 days");
        let old = warned(date!(2027 - 02 - 27));
        assert!(
            old[0].starts_with("prices.yaml: date: the prices were checked 91 days ago"),
            "{old:?}"
        );
        let early = warned(date!(2026 - 11 - 27));
        assert_eq!(early, ["prices.yaml: date: is later than today, 2026-11-27 in UTC"]);
    }

    #[test]
    fn a_missing_file_and_a_stray_one_are_reported() {
        let mut files = files();
        let models = files.remove("models.yaml").unwrap();
        files.insert("model.yaml".into(), models.clone());
        files.insert("workflows/old/explain.yaml".into(), models);
        let reported = reported(&files);
        assert_eq!(reported.len(), 3, "{reported:#?}");
        assert!(reported[0].starts_with("model.yaml: document: is not part of"), "{reported:#?}");
        assert!(
            reported[1].starts_with("workflows/old/explain.yaml: document: is not part of"),
            "{reported:#?}"
        );
        assert_eq!(reported[2], "models.yaml: document: is missing");
    }

    #[test]
    fn a_price_that_starts_tomorrow_is_none_today() {
        let mut files = files();
        let prices = files.get_mut("prices.yaml").unwrap();
        *prices = prices.replace("from: 2026-06-30", "from: 2026-11-29");
        let expected = "prices.yaml: models.anthropic.claude-sonnet-5: has no price before 2026-11-29, and the model sonnet calls it";
        assert_eq!(reported(&files), [expected]);
        assert_eq!(findings_on(&files, date!(2026 - 11 - 29)), [""; 0]);
    }

    #[test]
    fn an_application_inference_profile_is_checked_once_it_is_described() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2";
        let mut files = files();
        let models = files.get_mut("models.yaml").unwrap();
        *models = models.replace("us.anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5");
        let called = "region: us-east-1, model_id: anthropic.claude-opus-5-5";
        *models = models.replace(called, &format!("region: us-east-1, model_id: \"{arn}\""));
        assert!(models.contains(arn));
        let described = |model: &str, regions: &[&str]| {
            let (region, id, model) = ("us-east-1".into(), arn.into(), model.into());
            let regions = regions.iter().map(|region| region.to_string()).collect();
            Profiles(vec![Profile { region, id, model, regions }])
        };
        let found = |profiles: &Profiles| {
            let found = check_targets(&files, date!(2026 - 11 - 28), profiles);
            found.iter().map(Finding::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found(&Profiles::default()), [""; 0]);
        assert_eq!(found(&described("anthropic.claude-opus-5-5", &["us-east-1"])), [""; 0]);
        let unpriced = found(&described("anthropic.claude-opus-9", &["us-east-1"]));
        let expected =
            "prices.yaml: models.anthropic.claude-opus-9: is missing, and the model opus calls it";
        assert_eq!(unpriced, [expected]);
    }

    #[test]
    fn an_arn_in_a_region_that_is_not_its_own_is_reported() {
        let mut files = files();
        let arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/a";
        let models = files.get_mut("models.yaml").unwrap();
        let called = "region: us-west-2, model_id: us.anthropic.claude-opus-5-5";
        assert!(models.contains(called));
        *models = models.replace(called, &format!("region: us-west-2, model_id: \"{arn}\""));
        let expected = "models.yaml: models.opus.targets[1].region: must be us-east-1, the region of the profile";
        assert_eq!(reported(&files), [expected]);
    }

    #[test]
    fn an_alias_whose_only_profile_leaves_the_allowed_regions_is_reported() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/a1b2";
        let yaml = format!(
            "version: 1\nmodels:\n  m:\n    takes: {{ max_output_tokens: 1 }}\n    targets:\n    - {{ region: us-east-1, model_id: \"{arn}\" }}\n"
        );
        let models: Models = from_yaml(&yaml).finished().unwrap();
        let policy: Policy =
            from_yaml("version: 1\nallowed_regions: [us-east-1]\n").finished().unwrap();
        let described = |regions: &[&str]| {
            let (region, id, model) = ("us-east-1".into(), arn.into(), "anthropic.c".into());
            let regions = regions.iter().map(|region| region.to_string()).collect();
            Profiles(vec![Profile { region, id, model, regions }])
        };
        let found = |profiles: &Profiles| allowed(&models, &policy, profiles).to_string();
        assert_eq!(found(&Profiles::default()), "", "only Bedrock knows");
        assert_eq!(found(&described(&["us-east-1"])), "");
        let found = found(&described(&["us-east-1", "us-west-2"]));
        assert!(found.contains("it may reach us-west-2, which is not allowed"), "{found}");
    }

    #[test]
    fn a_budget_that_would_apply_to_nothing_is_reported() {
        let reported = |budget: &str, policy: &str| {
            let mut files = files();
            files.insert(
                "budgets.yaml".into(),
                format!("version: 1\nbudgets: {{ b: {{ usd: 1, {budget} }} }}\n"),
            );
            let text = files.get_mut("policy.yaml").unwrap();
            *text = text.replace("required_tags: []", &format!("required_tags: []\n{policy}"));
            reported(&files)
        };
        let team = "cost_tags: { team: [search] }";
        let rules = "tenants: { default: { workflows: [\"*\"], models: [\"*\"] } }";
        #[rustfmt::skip]
        let table = [
            ("window: day, scope: environment", "", ""),
            ("window: day, scope: workflow, only: [explain]", "", ""),
            ("scope: run, only: [explain]", "", ""),
            ("scope: run, only: [explian]", "", "budgets.b.only: there is no workflow explian; there are: bug-hunt, code-review"),
            ("scope: batch, only: [explian]", "", "budgets.b.only: there is no workflow explian"),
            ("window: day, scope: workflow, only: [explian]", "", "budgets.b.only: there is no workflow explian; there are: bug-hunt, code-review"),
            ("window: day, scope: \"tag:team\", only: [search, other]", team, ""),
            ("window: day, scope: \"tag:team\", only: [serach]", team, "budgets.b.only: there is no value serach; there are: search, other"),
            ("window: day, scope: \"tag:team\"", "", "budgets.b.scope: team is not among the cost_tags of policy.yaml"),
            ("window: day, scope: tenant, only: [anyone]", "", ""),
            ("window: day, scope: tenant, only: [anyone]", rules, "budgets.b.only: there is no tenant anyone; there are: default"),
            ("window: day, scope: tenant, only: [default]", rules, ""),
        ];
        for (budget, policy, expected) in table {
            let found = reported(budget, policy).join("; ");
            assert!(found.contains(expected), "{expected} is missing in {found}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{budget}: {found}");
        }
    }

    #[test]
    fn a_model_without_a_price_is_reported_once() {
        let mut files = files();
        let prices = files.get_mut("prices.yaml").unwrap();
        *prices = prices.replace("claude-sonnet-5:", "claude-sonnet-4:");
        assert_eq!(
            reported(&files),
            [
                "prices.yaml: models.anthropic.claude-sonnet-5: is missing, and the model sonnet calls it"
            ]
        );
    }
}
