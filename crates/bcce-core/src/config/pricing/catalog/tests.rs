use time::macros::date;

use super::*;

const LITELLM: &str = include_str!("../../../../../../events/prices/litellm.json");
const GENAI: &str = include_str!("../../../../../../events/prices/genai-prices.json");

fn rates(catalog: &str, model: &str) -> Result<Vec<Rates>, String> {
    Catalog::parse(catalog).unwrap().of(model)
}

fn text(price: &Price) -> String {
    let Price { input, output, cache_read, cache_write_5m, cache_write_1h } = price;
    format!("{input} {output} {cache_read} {cache_write_5m} {cache_write_1h}")
}

#[test]
fn both_catalogs_have_the_same_exact_prices() {
    for catalog in [LITELLM, GENAI] {
        let haiku = rates(catalog, "anthropic.claude-haiku-5-5").unwrap();
        assert_eq!(text(&haiku[0].price), "0.1 0.5 0.01 0.125 0.2");
        let long = haiku[0].long_prompt.as_ref().unwrap();
        assert_eq!(
            (long.above_tokens, text(&long.price).as_str()),
            (100_000, "0.5 2.5 0.05 0.625 1")
        );
        assert_eq!(haiku[0].regional_factor, Some(Decimal::new(11, 1)));
        let sonnet = rates(catalog, "anthropic.claude-sonnet-5-5").unwrap();
        assert_eq!(text(&sonnet[0].price), "2 10 0.1 2.5 4");
        assert_eq!(sonnet[0].long_prompt, None);
    }
}

/// A part of the id is that of another model, at another price.
#[test]
fn a_model_is_found_by_its_whole_id_only() {
    for (catalog, model) in [
        (LITELLM, "anthropic.claude-haiku-5"),
        (LITELLM, "anthropic.claude-haiku-5-5-v1"),
        (GENAI, "anthropic.claude-haiku-5"),
        (GENAI, "anthropic.claude-haiku-5-5-v1:0"),
        // The catalog matches this model by a part of its id.
        (GENAI, "anthropic.claude-haiku-4-5-20251001-v2:0"),
    ] {
        let reason = rates(catalog, model).unwrap_err();
        assert!(reason.starts_with("is not in the catalog of "), "{model}: {reason}");
    }
}

#[test]
fn an_entry_that_lacks_a_rate_is_not_used() {
    // The catalog has no rate for 1-hour cache writes of this model.
    let reason = rates(LITELLM, "anthropic.claude-opus-4-1-20250805-v1:0").unwrap_err();
    assert_eq!(reason, "has no rate for 1-hour cache writes");
    let negative =
        LITELLM.replacen("\"input_cost_per_token\": 1e-07", "\"input_cost_per_token\": -1e-07", 3);
    let reason = rates(&negative, "anthropic.claude-haiku-5-5").unwrap_err();
    assert_eq!(reason, "has the rate -0.1 for input");
    let free = GENAI.replacen("\"output_mtok\": 10", "\"output_mtok\": 0", 9);
    let reason = rates(&free, "anthropic.claude-sonnet-5-5").unwrap_err();
    assert_eq!(reason, "has the rate 0 for output");
}

#[test]
fn prices_of_several_days_are_listed_by_day() {
    let dated = |constraint: &str| {
        format!(
            r#"{{"providers":[{{"id":"aws","models":[{{"id":"global.m","match":{{"equals":"global.m"}},"prices":[
                {{"prices":{{"input_mtok":2,"output_mtok":10,"cache_read_mtok":0.2,"cache_write_mtok":2.5,"cache_write_1h_mtok":4}}}},
                {{"constraint":{constraint},"prices":{{"input_mtok":1,"output_mtok":5,"cache_read_mtok":0.1,"cache_write_mtok":1.25,"cache_write_1h_mtok":2}}}}]}}]}}]}}"#
        )
    };
    let listed = rates(&dated(r#"{"start_date":"2026-10-07"}"#), "m").unwrap();
    let days: Vec<_> = listed.iter().map(|rates| (rates.from, rates.price.input)).collect();
    let day = Some(date!(2026 - 10 - 07));
    assert_eq!(days, [(None, Decimal::TWO), (day, Decimal::ONE)]);
    let by_hour = rates(&dated(r#"{"start_time":"16:30:00Z","end_time":"00:30:00Z"}"#), "m");
    assert_eq!(by_hour.unwrap_err(), "has prices that depend on the time of day");
}

#[test]
fn what_is_no_catalog_is_refused() {
    for (text, expected) in [
        ("", "is not JSON"),
        ("models:\n  a: 1", "is not JSON"),
        ("[{\"id\":\"aws\"", "is not a catalog of prices: EOF while parsing"),
        ("{\"a\":", "is not a catalog of prices: EOF while parsing"),
        ("{}", "has no prices of Amazon Bedrock (LiteLLM format)"),
        ("[]", "has no prices of Amazon Bedrock (genai-prices format)"),
        ("{\"gpt\":{\"litellm_provider\":\"openai\"}}", "has no prices of Amazon Bedrock"),
    ] {
        let reason = Catalog::parse(text).unwrap_err();
        assert!(reason.starts_with(expected), "{text}: {reason}");
    }
}

#[test]
fn a_rate_that_is_too_large_is_no_panic() {
    let huge = LITELLM.replace("\"input_cost_per_token\": 1e-07", "\"input_cost_per_token\": 1e25");
    let reason = rates(&huge, "anthropic.claude-haiku-5-5").unwrap_err();
    assert_eq!(reason, "has the rate 10000000000000000000000000 per token");
}

#[test]
fn a_model_without_a_global_profile_has_one_price_everywhere() {
    let without = LITELLM
        .replace("global.anthropic", "old.anthropic")
        .replace("us.anthropic", "new.anthropic");
    let listed = rates(&without, "anthropic.claude-haiku-5-5").unwrap();
    assert_eq!(listed[0].regional_factor, Some(Decimal::ONE));
}
