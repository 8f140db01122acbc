//! Warns of cached prefixes that are too short for the prompt cache of a target.

use std::collections::BTreeMap;

use crate::base::figures::count;
use crate::config::cache::dense_tokens;
use crate::config::models::Model;
use crate::config::template::Step;
use crate::document::prompt::variables;

/// Returns the reason why targets of `model` do not cache the longest prefix of `step`. Returns `None` if they may, or
/// if the prefix has a variable, so that its length is not known.
pub fn too_short(step: &Step, model: &Model) -> Option<String> {
    let prefix = step.cached_prefixes().pop()?;
    let templates = [prefix.system, prefix.prompt];
    let is_static = |template: &str| variables(template).is_ok_and(|read| read.is_empty());
    if !templates.into_iter().all(is_static) {
        return None;
    }
    let tokens = dense_tokens(templates.into_iter().map(str::len).sum());
    let targets = model.targets().zip(model.taken());
    let short = targets.filter(|(_, takes)| tokens < takes.cache_minimum_tokens);
    let short: BTreeMap<&str, u64> = short
        .map(|(target, takes)| (target.model_id.as_str(), takes.cache_minimum_tokens))
        .collect();
    let minimums: Vec<String> = short
        .iter()
        .map(|(model_id, minimum)| format!("{} of {model_id}", count(*minimum)))
        .collect();
    (!minimums.is_empty()).then(|| {
        format!(
            "the static prefix has at most about {} tokens, which is below the minimum of {}: the service does not \
             cache it. Cache a longer prefix, or correct `cache_minimum_tokens` in models.yaml",
            count(tokens),
            minimums.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::models::takes::tests::step;

    fn model() -> Model {
        serde_saphyr::from_str(
            "takes: { max_output_tokens: 1, cache_minimum_tokens: 1024 }\ntargets:\n- { region: us-east-1, model_id: us.a }\n- { region: us-east-1, model_id: us.b, takes: { cache_minimum_tokens: 4096 } }\n",
        )
        .unwrap()
    }

    fn warned(length: usize, extra: &str) -> String {
        let extra = extra.replace("LONG", &"x".repeat(length));
        too_short(&step(&extra), &model()).unwrap_or_default()
    }

    #[test]
    fn a_static_prefix_below_a_minimum_is_reported_with_its_models() {
        let system = "system: LONG, cache: 1h";
        assert!(warned(300, system).starts_with(
            "the static prefix has at most about 100 tokens, which is below the minimum of 1,024 of us.a and 4,096 of us.b:"
        ));
        assert!(
            warned(3 * 1_024, system)
                .contains("1,024 tokens, which is below the minimum of 4,096 of us.b:")
        );
        assert_eq!(warned(3 * 4_096, system), "");
        assert_eq!(warned(300, "system: LONG"), "");
    }

    #[test]
    fn a_prefix_with_a_variable_may_be_long_enough() {
        assert_eq!(warned(1, "system: \"LONG {{ inputs }}\", cache: 1h"), "");
        let marked = "system: \"LONG{{ '' | cached }} {{ inputs }}\", cache: 1h";
        assert!(warned(1, marked).contains("has at most about"), "{}", warned(1, marked));
    }
}
