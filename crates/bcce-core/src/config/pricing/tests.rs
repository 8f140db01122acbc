use time::macros::{date, datetime};

use super::*;
use crate::document::from_yaml;

const FILE: &str = "version: 1
date: 2026-11-28
regional_factor: \"1.1\"
models:
  anthropic.claude-haiku:
    - from: 2026-09-01
      price: { input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" }
    - from: 2026-10-07
      price: { input: \"0.1\", output: \"0.5\", cache_read: \"0.01\", cache_write_5m: \"0.125\", cache_write_1h: \"0.2\" }
      long_prompt:
        above_tokens: 100000
        price: { input: \"0.5\", output: \"2.5\", cache_read: \"0.05\", cache_write_5m: \"0.625\", cache_write_1h: \"1\" }
";

fn prices(file: &str) -> Prices {
    from_yaml(file).finished().unwrap()
}

fn row(model_id: &str, day: Date) -> PriceRow {
    prices(FILE).of(model_id).unwrap().on(day).unwrap().clone()
}

fn reported(file: &str) -> String {
    from_yaml::<Prices>(file).problems.to_string()
}

fn changed(from: &str, to: &str) -> String {
    assert!(FILE.contains(from), "{from} is not in the file");
    FILE.replacen(from, to, 1)
}

#[test]
fn a_geographic_profile_costs_the_factor_more_than_the_global_one() {
    let usage = Usage {
        input_tokens: 1_000,
        output_tokens: 100,
        cache_read_tokens: 10_000,
        ..Usage::default()
    };
    // 1000 x 1 + 100 x 5 + 10000 x 0.1 = 2500 per million
    let cost = |id: &str| row(id, date!(2026 - 09 - 30)).cost(&usage).to_string();
    assert_eq!(cost("global.anthropic.claude-haiku"), "0.0025");
    assert_eq!(cost("us.anthropic.claude-haiku"), "0.00275");
    assert_eq!(cost("anthropic.claude-haiku"), "0.00275");
}

#[test]
fn a_call_has_the_price_of_its_day_in_utc() {
    let rows = prices(FILE).of("global.anthropic.claude-haiku").unwrap();
    let input = |time| rows.at(time).map(|row| row.price.input.to_string());
    assert_eq!(input(datetime!(2026-08-31 23:59:59.999 UTC)), None, "before the first row");
    assert_eq!(input(datetime!(2026-09-01 00:00 UTC)).unwrap(), "1");
    assert_eq!(input(datetime!(2026-10-06 23:59:59.999 UTC)).unwrap(), "1");
    assert_eq!(input(datetime!(2026-10-07 00:00 UTC)).unwrap(), "0.1");
    assert_eq!(input(datetime!(2030-01-01 00:00 UTC)).unwrap(), "0.1");
    assert_eq!(input(datetime!(2026-10-07 01:00 +2)).unwrap(), "1", "still the 6th in UTC");
    assert_eq!(input(datetime!(2026-10-06 23:00 -2)).unwrap(), "0.1", "the 7th in UTC already");
}

#[test]
fn a_prompt_above_the_threshold_makes_every_token_of_the_request_dearer() {
    let row = row("global.anthropic.claude-haiku", date!(2026 - 10 - 07));
    let cost = |usage: Usage| (row.cost(&usage) * Decimal::from(1_000_000)).normalize().to_string();
    let short = Usage { input_tokens: 100_000, output_tokens: 1_000, ..Usage::default() };
    // 100000 x 0.1 + 1000 x 0.5; one token more, and all of it is at five times the rate.
    assert_eq!(cost(short), "10500");
    assert_eq!(cost(Usage { input_tokens: 100_001, ..short }), "52500.5");
    let answered = Usage { output_tokens: 100_000, ..short };
    assert_eq!(cost(answered), "60000", "an answer is no prompt");
}

#[test]
fn tokens_of_a_cache_make_a_prompt_long_too() {
    let row = row("global.anthropic.claude-haiku", date!(2026 - 10 - 07));
    let cached = Usage {
        input_tokens: 1,
        output_tokens: 0,
        cache_read_tokens: 59_999,
        cache_write_5m_tokens: 30_000,
        cache_write_1h_tokens: 10_000,
    };
    let million = Decimal::from(1_000_000);
    // 1 x 0.1 + 59999 x 0.01 + 30000 x 0.125 + 10000 x 0.2 = 6350.09
    assert_eq!(row.cost(&cached) * million, Decimal::new(635_009, 2));
    let long = [
        Usage { input_tokens: 2, ..cached },
        Usage { cache_read_tokens: 60_000, ..cached },
        Usage { cache_write_5m_tokens: 30_001, ..cached },
        Usage { cache_write_1h_tokens: 10_001, ..cached },
    ];
    for usage in long {
        assert!(row.cost(&usage) > Decimal::new(4, 0) * row.cost(&cached), "{usage:?}");
    }
}

#[test]
fn the_regional_factor_counts_for_long_prompts_and_a_rows_own_comes_first() {
    let long = Usage { input_tokens: 1_000_000, ..Usage::default() };
    let day = date!(2026 - 10 - 07);
    assert_eq!(row("us.anthropic.claude-haiku", day).cost(&long).to_string(), "0.55");
    let own = changed("from: 2026-10-07\n", "from: 2026-10-07\n      regional_factor: \"1.2\"\n");
    let rows = |id: &str| prices(&own).of(id).unwrap();
    let cost = |id: &str, day| rows(id).on(day).unwrap().cost(&long).to_string();
    assert_eq!(cost("us.anthropic.claude-haiku", day), "0.6");
    assert_eq!(cost("global.anthropic.claude-haiku", day), "0.5");
    assert_eq!(cost("us.anthropic.claude-haiku", date!(2026 - 10 - 06)), "1.1", "the file's");
}

#[test]
fn a_job_costs_half_unless_the_file_or_the_row_says_otherwise() {
    let used = Usage { input_tokens: 1_000_000, ..Usage::default() };
    let cost = |file: &str, day| {
        let rows = prices(file).of("global.anthropic.claude-haiku").unwrap();
        rows.on(day).unwrap().batch_cost(&used).to_string()
    };
    let (before, after) = (date!(2026 - 10 - 06), date!(2026 - 10 - 07));
    assert_eq!((cost(FILE, before), cost(FILE, after)), ("0.5".into(), "0.25".into()));
    let files = format!("batch_factor: \"0.4\"\n{FILE}");
    assert_eq!((cost(&files, before), cost(&files, after)), ("0.4".into(), "0.2".into()));
    let rows = changed("from: 2026-10-07\n", "from: 2026-10-07\n      batch_factor: \"0.8\"\n");
    assert_eq!((cost(&rows, before), cost(&rows, after)), ("0.5".into(), "0.4".into()));
}

#[test]
fn an_unknown_model_has_no_price() {
    assert_eq!(prices(FILE).of("us.anthropic.claude-new"), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    const MODEL: &str = "models.anthropic.claude-haiku";
    #[rustfmt::skip]
    let table = [
        (changed("version: 1", "version: 2"), "version: must be 1"),
        (changed("regional_factor: \"1.1\"", "regional_factor: \"0\""), "regional_factor: must be above 0"),
        (format!("batch_factor: \"0\"\n{FILE}"), "batch_factor: must be above 0 and at most 1"),
        (format!("batch_factor: \"1.1\"\n{FILE}"), "batch_factor: must be above 0 and at most 1"),
        (changed("cache_write_5m: \"1.25\"", "cache_write_5m: \"0\""), "[0].price.cache_write_5m: must be above 0"),
        (changed("output: \"0.5\"", "output: \"-1\""), "[1].price.output: must be above 0"),
        (changed("cache_read: \"0.05\"", "cache_read: \"0\""), "[1].long_prompt.price.cache_read: must be above 0"),
        (changed("above_tokens: 100000", "above_tokens: 0"), "[1].long_prompt.above_tokens: must be above 0"),
        (changed("from: 2026-10-07", "from: 2026-09-01"), "[1].from: must be later than that of the row before"),
        (changed("from: 2026-10-07", "from: 2026-08-31"), "[1].from: must be later than that of the row before"),
        (changed("from: 2026-10-07\n", "from: 2026-10-07\n      batch_factor: \"2\"\n"), "[1].batch_factor: must be above 0 and at most 1"),
        (changed("from: 2026-10-07\n", "from: 2026-10-07\n      regional_factor: \"0\"\n"), "[1].regional_factor: must be above 0"),
        (changed("from: 2026-10-07\n", "from: 2026-10-07\n      regional_factr: \"1\"\n"), "[1].regional_factr: is unknown; there are: from, price"),
        (changed("    - from: 2026-10-07\n      ", "    - "), "[1].from: is missing"),
        (changed("from: 2026-09-01", "from: 5"), "[0].from: must be a date, YYYY-MM-DD"),
    ];
    for (file, expected) in table {
        let model = if expected.starts_with('[') { MODEL } else { "" };
        let expected = format!("{model}{expected}");
        let reported = reported(&file);
        assert!(reported.starts_with(&expected), "{expected} is missing in {reported}");
    }
    let none = "version: 1\ndate: 2026-11-28\nregional_factor: \"1\"\nmodels: { anthropic.claude-x: [] }\n";
    assert_eq!(reported(none), "models.anthropic.claude-x: must have at least one row");
    let profile = changed("anthropic.claude-haiku:", "us.anthropic.claude-haiku:");
    let expected = "models.us.anthropic.claude-haiku: is an inference profile; a price belongs to the model anthropic.claude-haiku";
    assert_eq!(reported(&profile), expected);
}

const SHIPPED: &str = include_str!("../../../../../infra/config/dev/prices.yaml");

#[test]
fn the_shipped_file_has_the_regional_prices_that_were_confirmed() {
    let (prices, today) = (prices(SHIPPED), date!(2026 - 11 - 28));
    let row = |model: &str, day| {
        prices.of(&format!("us.anthropic.claude-{model}")).unwrap().on(day).unwrap().clone()
    };
    for (model, input, output) in
        [("haiku-5-5", "0.11", "0.55"), ("sonnet-5-5", "2.2", "11"), ("opus-5-5", "4.4", "22")]
    {
        let price = row(model, today).price;
        let reported = (price.input.normalize().to_string(), price.output.normalize().to_string());
        assert_eq!(reported, (input.to_owned(), output.to_owned()), "{model}");
    }
    let read = |day| row("sonnet-5-5", day).price.cache_read.normalize().to_string();
    assert_eq!(
        (read(date!(2026 - 10 - 06)), read(date!(2026 - 10 - 07))),
        ("0.22".into(), "0.11".into())
    );
}

#[test]
fn the_documented_sample_is_a_part_of_the_shipped_file() {
    let docs = include_str!("../../../../../docs/prices.md");
    let sample = docs.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n"));
    let (sample, mut shipped) = (prices(sample.unwrap()), prices(SHIPPED));
    shipped.models.retain(|model, _| sample.models.contains_key(model));
    assert!(!sample.models.is_empty());
    assert_eq!(sample, shipped);
}
