//! Checks a sender's choice of workflow, model and tags against the workflow and the policy. The check runs for each
//! run, and once for a batch as a whole before any of its items.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::error::Problems;
use crate::config::configuration::Configuration;
use crate::config::models::Models;
use crate::config::policy::{TenantRequest, any_matches, matches};
use crate::config::template::Template;

/// A sender's request without its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub tenant: &'a str,
    /// The model alias of the request.
    pub model: Option<&'a str>,
    pub tags: &'a BTreeMap<String, String>,
}

impl Configuration {
    /// Returns a problem for each part of the request that the policy or the workflow forbids. The template must be the
    /// workflow's own: the request's model must not yet have replaced the models of its steps.
    pub fn check_sender(&self, sender: &Sender<'_>) -> Problems {
        let template = &self.template;
        let mut forbidden = Problems::default();
        // `check_models` reports a model that does not exist.
        let known = sender.model.filter(|alias| self.models.models.contains_key(*alias));
        if let Some(alias) = known {
            forbidden.extend(request_model(template, &self.models, alias));
        }
        let steps = template.steps.iter().map(|step| (step.id.as_str(), step.model.as_str()));
        forbidden.extend(self.policy.check_tenant(&TenantRequest {
            tenant: sender.tenant,
            workflow: &template.name,
            model: sender.model,
            steps: steps.collect(),
            tags: sender.tags,
        }));
        forbidden
    }
}

/// Returns the reasons why a request may not name `alias`. A change of the guardrail is also refused when the documents
/// are checked, but a document may have been pushed without the others.
pub fn request_model(template: &Template, models: &Models, alias: &str) -> Problems {
    let name = &template.name;
    if !any_matches(&template.request_models, alias) {
        let allowed = match template.request_models.as_slice() {
            [] => format!("{name} allows none; leave `model` out"),
            some => format!("{name} allows: {}; name one of them, or none", some.join(", ")),
        };
        let cause = format!(
            "{alias} is not among the models that a request may name: {allowed}, or add it to `request_models` of the \
             workflow"
        );
        return Problems::one("model", cause);
    }
    let replaced: BTreeSet<&str> = template.steps.iter().map(|step| step.model.as_str()).collect();
    let mut problems = Problems::default();
    for why in replaced.iter().filter_map(|replaced| models.leaves_guardrail(alias, replaced)) {
        problems.add("model", format!("{why}; a request's model must not change the guardrail"));
    }
    problems
}

impl Template {
    /// Checks that each entry of `request_models` matches an alias, and that each matching alias has the same guardrail
    /// as the models of the steps that it would replace.
    pub fn check_request_models(&self, models: &Models) -> Problems {
        let mut problems = Problems::default();
        let replaced: BTreeSet<&str> = self.steps.iter().map(|step| step.model.as_str()).collect();
        for (n, pattern) in self.request_models.iter().enumerate() {
            let field = format!("request_models[{n}]");
            let matched: Vec<&String> =
                models.models.keys().filter(|alias| matches(pattern, alias)).collect();
            problems.check(!matched.is_empty(), &field, models.unknown(pattern));
            for alias in matched {
                let why = replaced.iter().filter_map(|step| models.leaves_guardrail(alias, step));
                for why in why {
                    let cause = format!("{why}; a request's model must not change the guardrail");
                    problems.add(&field, cause);
                }
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "version: 1\nname: w\nREQUEST_MODELS\nsteps:\n- { id: a, model: sonnet, prompt: p }\n";

    fn template(request_models: &str) -> String {
        ONE.replace("REQUEST_MODELS", request_models)
    }

    #[test]
    fn a_list_never_leads_past_a_guardrail() {
        let models = "version: 1\nmodels:\n  sonnet: { takes: &t { max_output_tokens: 9000 }, targets: [{ region: us-east-1, model_id: a, guardrail: { id: g, version: \"1\" } }] }\n  haiku: { takes: *t, targets: [{ region: us-east-1, model_id: b }] }\n";
        let models: Models = crate::document::from_yaml(models).finished().unwrap();
        let template = Template::parse(&template("request_models: [haiku, gpt]")).unwrap();
        let found = template.check_request_models(&models).to_string();
        assert!(
            found.starts_with(
                "request_models[0]: haiku has no guardrail and sonnet has guardrail g version 1;"
            ),
            "{found}"
        );
        assert!(found.contains("request_models[1]: there is no model gpt"), "{found}");
        let at_once = request_model(&template, &models, "haiku").to_string();
        assert!(at_once.starts_with("model: haiku has no guardrail and sonnet has"), "{at_once}");
        assert!(request_model(&template, &models, "sonnet").to_string().contains("not among"));
    }
}
