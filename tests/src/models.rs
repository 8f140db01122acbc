//! Models of the tests: the same configuration as everybody's, with more aliases. A breaker belongs to a
//! target, so a test that makes targets fail takes an alias that no other test uses.

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
}

/// Aliases of each layout: more than the tests of one stack take.
const EACH: usize = 120;

/// Name, routing, and each target's region and profile.
type Row = (Layout, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const LAYOUTS: [Row; 4] = [
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
];

/// Stands for the profile of a target that costs half.
const CHEAP: &str = "us.anthropic.claude-cheap";

/// The nth alias of a layout.
pub fn alias(layout: Layout, n: usize) -> String {
    assert!(n < EACH, "the tests need more aliases of {layout:?} than there are");
    let (_, name, ..) = LAYOUTS.iter().find(|(known, ..)| *known == layout).expect("a row each");
    format!("test-{name}-{n}")
}

/// The id of an alias' model in its inference profile.
pub fn model_id(profile: &str, alias: &str) -> String {
    match profile {
        CHEAP => format!("{CHEAP}-{alias}"),
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
                format!("{{ region: {region}, model_id: {} }}", model_id(profile, &alias))
            };
            let targets: Vec<String> = regions.iter().map(target).collect();
            models += &format!(
                "  {alias}: {{ takes: {{ temperature: true, json_schema: true, max_output_tokens: 64000 }}, {routing}targets: [{}] }}\n",
                targets.join(", ")
            );
            prices += &format!(
                "  anthropic.claude-{alias}: {{ input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" }}\n"
            );
            if layout == Layout::Cheaper {
                prices += &format!(
                    "  anthropic.claude-cheap-{alias}: {{ input: \"0.5\", output: \"2.5\", cache_read: \"0.05\", cache_write_5m: \"0.6\", cache_write_1h: \"1\" }}\n"
                );
            }
        }
    }
    (models, prices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::document::from_yaml;
    use bcce_core::models::Models;
    use bcce_core::pricing::Prices;

    #[test]
    fn the_aliases_are_models_with_prices() {
        let (models, prices) = with_aliases(
            include_str!("../../infra/config/dev/models.yaml"),
            include_str!("../../infra/config/dev/prices.yaml"),
        );
        let models: Models = from_yaml(&models).finished().unwrap();
        let prices: Prices = from_yaml(&prices).finished().unwrap();
        assert_eq!(models.models.len(), 3 + LAYOUTS.len() * EACH);
        let mut targets = models.models.values().flat_map(|model| model.targets());
        assert!(targets.all(|target| prices.of(&target.model_id).is_some()));
    }
}
