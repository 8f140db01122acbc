//! Models of the tests: the same configuration as everybody's, with more aliases. A breaker belongs to a
//! target, so a test that makes targets fail takes an alias that no other test uses.

use std::collections::BTreeSet;

/// How the targets of an alias are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// us-east-1, then us-west-2, with the limits of the environment.
    Two,
    /// The same, but silence for two seconds is too long, for the platform team as well.
    Quick,
    /// The same, and first of all a target in Europe, which policy forbids.
    Abroad,
    /// us-east-1, then us-west-2 at half the price.
    Cheaper,
    /// Haiku 5.5 in us-east-1, then Haiku 4.5 in us-west-2, which takes other parameters and shorter prompts.
    Mixed,
    /// The same, the other way round.
    Reversed,
}

/// Aliases of each layout: more than the tests of one stack take.
const EACH: usize = 120;

/// Name, routing, and each target's region and profile.
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

/// Stands for the profile of a target that costs half.
const CHEAP: &str = "us.anthropic.claude-cheap";

/// Profile and model of a generation: the scripted model refuses what the service would refuse of it.
const TODAY: &str = "us.anthropic.claude-haiku-5-5";
const BEFORE: &str = "us.anthropic.claude-haiku-4-5";

const WHOLE: &str =
    r#"input: "1", output: "5", cache_read: "0.1", cache_write_5m: "1.25", cache_write_1h: "2""#;
const HALF: &str = r#"input: "0.5", output: "2.5", cache_read: "0.05", cache_write_5m: "0.6", cache_write_1h: "1""#;

/// Settings that the targets of [`TODAY`] take, and how those of [`BEFORE`] differ.
const TAKES_TODAY: &str = "effort: [low, medium, high, xhigh, max], thinking: optional, json_schema: true, max_output_tokens: 128000, context_tokens: 1000000";
const TAKES_BEFORE: &str = ", takes: { temperature: true, effort: [], thinking: never, max_output_tokens: 64000, context_tokens: 200000 }";

/// The nth alias of a layout.
pub fn alias(layout: Layout, n: usize) -> String {
    assert!(n < EACH, "the tests need more aliases of {layout:?} than there are");
    let (_, name, ..) = LAYOUTS.iter().find(|(known, ..)| *known == layout).expect("a row each");
    format!("test-{name}-{n}")
}

/// The id of an alias' model in its inference profile.
pub fn model_id(profile: &str, alias: &str) -> String {
    match profile {
        CHEAP | TODAY | BEFORE => format!("{profile}-{alias}"),
        profile => format!("{profile}.anthropic.claude-{alias}"),
    }
}

/// `models.yaml` and `prices.yaml` with the aliases and what they cost.
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
                let id = id.split_once('.').expect("a profile's prefix").1;
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

/// `policy.yaml` with a rule for each tenant of the stack.
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
