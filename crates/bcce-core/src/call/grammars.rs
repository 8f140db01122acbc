//! The schemas that the service compiles for steps. For some schemas, the first call to a target takes minutes. The
//! service keeps a compiled schema for a day, so the schemas can be compiled before a run needs them.

use crate::base::target::Target;
use crate::call::parameters::Parameters;
use crate::config::models::{Models, Takes, Thinks};
use crate::config::policy::Policy;
use crate::config::profiles::Profiles;
use crate::config::template::{Step, Template, Thinking};
use crate::document::prompt::Prompt;

/// The `max_tokens` of a call whose answer is discarded.
const SHORT: u32 = 64;

/// One schema on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Grammar<'a> {
    pub workflow: &'a str,
    pub step: &'a Step,
    pub target: &'a Target,
    /// The parameters of the shortest call that makes the service compile the schema.
    pub parameters: Parameters<'a>,
}

/// Returns the schemas that the service enforces for the steps of a workflow, each once for each target that the policy
/// allows.
pub fn grammars<'a>(
    template: &'a Template,
    models: &'a Models,
    policy: &Policy,
    profiles: &Profiles,
) -> Vec<Grammar<'a>> {
    let mut found: Vec<Grammar<'a>> = Vec::new();
    for step in &template.steps {
        let model = models.models.get(&step.model);
        let targets = model.into_iter().flat_map(|model| model.targets().zip(model.taken()));
        for (target, takes) in targets.filter(|(target, _)| policy.allows(target, profiles)) {
            let parameters = short(Parameters::of(step, &takes, false), &takes);
            let is_known = |known: &Grammar<'_>| {
                known.target == target && known.parameters.schema == parameters.schema
            };
            if parameters.schema.is_some() && !found.iter().any(is_known) {
                found.push(Grammar { workflow: &template.name, step, target, parameters });
            }
        }
    }
    found
}

impl Grammar<'_> {
    /// Returns the prompt of the shortest call.
    pub fn prompt(&self) -> Prompt {
        Prompt { user: "Answer with the shortest value that fits.".into(), ..Prompt::default() }
    }
}

/// Returns the parameters of the shortest answer with the same schema.
fn short(parameters: Parameters<'_>, takes: &Takes) -> Parameters<'static> {
    let thinking = (takes.thinking == Thinks::Optional).then_some(Thinking::Off);
    let Parameters { schema, .. } = parameters;
    Parameters { max_tokens: SHORT, thinking, schema, ..Parameters::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_yaml;

    const MODELS: &str = include_str!("../../../../infra/config/dev/models.yaml");
    const POLICY: &str = include_str!("../../../../infra/config/dev/policy.yaml");
    const REVIEW: &str = include_str!("../../../../infra/config/dev/workflows/code-review.yaml");

    #[test]
    fn each_schema_is_there_once_for_each_allowed_target() {
        let models: Models = from_yaml(MODELS).finished().unwrap();
        let mut policy: Policy = from_yaml(POLICY).finished().unwrap();
        let mut template: Template = from_yaml(REVIEW).finished().unwrap();
        let again = template.steps.last().unwrap().clone();
        template.steps.push(Step { id: "again".into(), ..again });
        let found = grammars(&template, &models, &policy, &Profiles::default());
        assert_eq!(found.len(), models.models["sonnet"].targets.len());
        assert!(found.iter().all(|grammar| grammar.step.id == "verdict"));
        assert!(found.iter().all(|grammar| grammar.parameters.max_tokens == SHORT));
        policy.allowed_models = vec!["anthropic.claude-sonnet-5-5".into()];
        assert_eq!(grammars(&template, &models, &policy, &Profiles::default()).len(), 2);
    }
}
