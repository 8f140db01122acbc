//! The configuration of the tests: the one of the `dev` environment with additional model aliases. A breaker belongs to
//! a target, so a test that makes targets fail uses an alias that no other test uses.

use std::collections::BTreeSet;

/// The targets of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// us-east-1, then us-west-2, with the limits of the environment.
    Two,
    /// The targets of [`Layout::Two`], with a limit of two seconds for the first token and for a stall.
    Quick,
    /// A target in Europe, which the policy forbids, then the targets of [`Layout::Two`].
    Abroad,
    /// us-east-1, then us-west-2 at half the price.
    Cheaper,
    /// Haiku 5.5 in us-east-1, then Haiku 4.5 in us-west-2, which accepts other parameters and only shorter prompts.
    Mixed,
    /// Haiku 4.5 in us-east-1, then Haiku 5.5 in us-west-2.
    Reversed,
}

/// The number of aliases of each layout. It exceeds the number that the tests of one stack use.
const EACH: usize = 120;

/// A layout with its name, its routing settings, and the region and profile of each target.
type Row = (Layout, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const LAYOUTS: [Row; 6] = [
    (Layout::Two, "two", "", &[("us-east-1", "us"), ("us-west-2", "us")]),
    (
        Layout::Quick,
        "quick",
        "routing: { timeouts: { first_token_s: 2, stall_s: 2 } }, ",
        &[("us-east-1", "us"), ("us-west-2", "us")],
    ),
    (
        Layout::Abroad,
        "abroad",
        "",
        &[("eu-west-1", "eu"), ("us-east-1", "us"), ("us-west-2", "us")],
    ),
    (Layout::Cheaper, "cheaper", "", &[("us-east-1", "us"), ("us-west-2", CHEAP)]),
    (Layout::Mixed, "mixed", "", &[("us-east-1", TODAY), ("us-west-2", BEFORE)]),
    (Layout::Reversed, "reversed", "", &[("us-east-1", BEFORE), ("us-west-2", TODAY)]),
];

/// The profile of a target at half the price.
const CHEAP: &str = "us.anthropic.claude-cheap";

/// The profile of the current generation. The scripted model refuses the same parameters of it as the service.
const TODAY: &str = "us.anthropic.claude-haiku-5-5";
/// The profile of the previous generation.
const BEFORE: &str = "us.anthropic.claude-haiku-4-5";

const WHOLE: &str =
    r#"input: "1", output: "5", cache_read: "0.1", cache_write_5m: "1.25", cache_write_1h: "2""#;
const HALF: &str = r#"input: "0.5", output: "2.5", cache_read: "0.05", cache_write_5m: "0.6", cache_write_1h: "1""#;

/// The `takes` settings of targets of [`TODAY`].
const TAKES_TODAY: &str = "effort: [low, medium, high, xhigh, max], thinking: optional, json_schema: true, max_output_tokens: 128000, context_tokens: 1000000";
/// The settings of a target of [`BEFORE`] that override [`TAKES_TODAY`].
const TAKES_BEFORE: &str = ", takes: { temperature: true, effort: [], thinking: never, max_output_tokens: 64000, context_tokens: 200000 }";

/// Returns the nth alias of a layout.
///
/// # Panics
/// If there are not that many aliases.
pub fn alias(layout: Layout, n: usize) -> String {
    assert!(n < EACH, "the tests use more than {EACH} aliases of {layout:?}");
    let (_, name, ..) =
        LAYOUTS.iter().find(|(known, ..)| *known == layout).expect("each layout has a row");
    format!("test-{name}-{n}")
}

/// Returns the model id of an alias in an inference profile.
pub fn model_id(profile: &str, alias: &str) -> String {
    match profile {
        CHEAP | TODAY | BEFORE => format!("{profile}-{alias}"),
        profile => format!("{profile}.anthropic.claude-{alias}"),
    }
}

/// Returns `models.yaml` and `prices.yaml` with the aliases and their prices added.
pub fn with_aliases(models: &str, prices: &str) -> (String, String) {
    let (mut models, mut prices) = (models.to_owned(), prices.to_owned());
    for (layout, _, routing, regions) in LAYOUTS {
        for n in 0..EACH {
            let alias = alias(layout, n);
            let target = |(region, profile): &(&str, &str)| {
                let takes = if *profile == BEFORE { TAKES_BEFORE } else { "" };
                format!("{{ region: {region}, model_id: {}{takes} }}", model_id(profile, &alias))
            };
            let takes = match layout {
                Layout::Mixed | Layout::Reversed => TAKES_TODAY,
                _ => "temperature: true, json_schema: true, max_output_tokens: 64000",
            };
            let targets: Vec<String> = regions.iter().map(target).collect();
            models += &format!(
                "  {alias}: {{ takes: {{ {takes} }}, {routing}targets: [{}] }}\n",
                targets.join(", ")
            );
            for profile in regions.iter().map(|(_, profile)| *profile).collect::<BTreeSet<_>>() {
                let price = if profile == CHEAP { HALF } else { WHOLE };
                let id = model_id(profile, &alias);
                let id = id.split_once('.').expect("the id has the prefix of its profile").1;
                let line = format!("  {id}: [{{ from: 2026-01-01, price: {{ {price} }} }}]\n");
                if !prices.contains(&line) {
                    prices += &line;
                }
            }
        }
    }
    let guardrail = ", guardrail: { id: gr-east, version: \"1\", name: pii }";
    for (alias, guardrail) in [(FORBIDDEN, ""), (GUARDED, guardrail)] {
        let takes = "temperature: true, json_schema: true, max_output_tokens: 64000";
        let id = model_id("us", alias);
        let target = format!("{{ region: us-east-1, model_id: {id}{guardrail} }}");
        models += &format!("  {alias}: {{ takes: {{ {takes} }}, targets: [{target}] }}\n");
        prices += &format!(
            "  anthropic.claude-{alias}: [{{ from: 2026-01-01, price: {{ {WHOLE} }} }}]\n"
        );
    }
    (models, prices)
}

/// An alias that no tenant of the tests may use.
pub const FORBIDDEN: &str = "withheld";
/// An alias with a guardrail.
pub const GUARDED: &str = "test-guarded";
/// A workflow that the tenant `alpha` may not start.
pub const FORBIDDEN_TO_ALPHA: &str = "code-review";

/// Returns `policy.yaml` with a rule for each tenant of the stack.
pub fn with_tenants(policy: &str) -> String {
    let open = "workflows: [\"*\"], models: [haiku, sonnet, opus, \"test-*\"]";
    let alpha =
        "workflows: [explain], models: [haiku, \"test-*\"], tags: { cost-center: [\"4711\"] }";
    format!(
        "{policy}tenants:\n  default: {{ {open}, tags: {{ guarded-cost-center: [\"4711\"] }} }}\n  alpha: {{ {alpha} }}\n  \"*\": {{ {open} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::config::models::Models;
    use bcce_core::config::policy::Policy;
    use bcce_core::config::pricing::Prices;
    use bcce_core::document::from_yaml;

    #[test]
    fn the_aliases_are_models_with_prices() {
        let (models, prices) = with_aliases(
            include_str!("../../infra/config/dev/models.yaml"),
            include_str!("../../infra/config/dev/prices.yaml"),
        );
        let models: Models = from_yaml(&models).finished().unwrap();
        let prices: Prices = from_yaml(&prices).finished().unwrap();
        assert_eq!(models.models.len(), 5 + LAYOUTS.len() * EACH);
        let mut targets = models.models.values().flat_map(|model| model.targets());
        assert!(targets.all(|target| prices.of(&target.model_id).is_some()));
        let policy = with_tenants(include_str!("../../infra/config/dev/policy.yaml"));
        assert_eq!(from_yaml::<Policy>(&policy).finished().unwrap().tenants.unwrap().len(), 3);
    }
}
