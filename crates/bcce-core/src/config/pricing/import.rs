//! What an import of a catalog changes in the price file. An import only adds rows: a call keeps the price of its day,
//! and what a person wrote stays.

use time::Date;

use crate::config::pricing::catalog::{Catalog, Rates};
use crate::config::pricing::{PriceRow, Prices};

/// The outcome of an import for one model.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The catalog has the prices of the file, today's and those of later days.
    Same,
    /// The file does not have the model. These rows are added.
    New(Vec<PriceRow>),
    /// The price differs from that of the last row, which was imported. These rows are added.
    Changed { before: Box<PriceRow>, rows: Vec<PriceRow> },
    /// The price differs from that of the last row, which was written by hand. Nothing is added.
    Kept { before: Box<PriceRow>, listed: Box<PriceRow> },
    /// The price differs, and a row cannot be added for this reason.
    Blocked(String),
    /// The catalog has no usable price, for this reason.
    Missing(String),
}

impl Change {
    /// Returns the rows to add.
    pub fn rows(&self) -> &[PriceRow] {
        match self {
            Self::New(rows) | Self::Changed { rows, .. } => rows,
            Self::Same | Self::Kept { .. } | Self::Blocked(_) | Self::Missing(_) => &[],
        }
    }

    /// Returns true if the price was compared and nothing is left to correct by hand.
    pub fn is_checked(&self) -> bool {
        !matches!(self, Self::Blocked(_) | Self::Missing(_))
    }
}

/// Compares the price of a model with a catalog. `replaced` is true if a row that was written by hand is followed by
/// one of the catalog as well.
pub fn compare(
    prices: &Prices,
    model: &str,
    catalog: &Catalog,
    today: Date,
    replaced: bool,
) -> Change {
    let listed = match catalog.of(model) {
        Ok(listed) => listed,
        Err(reason) => return Change::Missing(reason),
    };
    let current = listed.iter().rposition(|rates| rates.from.is_none_or(|from| from <= today));
    let Some(current) = current else {
        return Change::Missing("has no price in the catalog before a later day".to_owned());
    };
    let known = prices.models.get(model).map(|rows| rows.0.as_slice()).unwrap_or_default();
    let before = known.iter().rev().find(|row| row.from <= today);
    let row = |rates: &Rates, from| row(prices, rates, from, before, catalog.name);
    // A price that began before the last check of the file was missed until now. The calls in between keep the price
    // that their manifests state, so the row starts today.
    let now = row(&listed[current], today);
    let later = listed[current + 1..].iter();
    let later: Vec<PriceRow> = later.filter_map(|rates| Some(row(rates, rates.from?))).collect();
    let Some(before) = before else {
        return match known.first() {
            // A row before it would change the order of the rows.
            Some(first) => Change::Blocked(format!("has no row before {}", first.from)),
            None => Change::New(std::iter::once(now).chain(later).collect()),
        };
    };
    let is_same = same_price(prices, before, &now);
    // The announced rows of the file must be the first of those of the catalog. Further ones can be added.
    let announced: Vec<&PriceRow> = known.iter().filter(|row| row.from > today).collect();
    let count = announced.len();
    let are_announced = count <= later.len()
        && announced
            .iter()
            .zip(&later)
            .all(|(known, listed)| known.from == listed.from && same_price(prices, known, listed));
    let is_kept = !replaced && known.last().is_some_and(|row| row.source.is_none());
    let (before, further) = (Box::new(before.clone()), later.get(count..).unwrap_or_default());
    match (is_same, are_announced, further) {
        (true, true, []) => Change::Same,
        (true, true, [listed, ..]) if is_kept => {
            Change::Kept { before, listed: Box::new(listed.clone()) }
        }
        (true, true, further) => Change::Changed { before, rows: further.to_vec() },
        _ if is_kept => Change::Kept { before, listed: Box::new(now) },
        (false, true, further) if count == 0 && before.from < today => {
            let rows = std::iter::once(now).chain(further.iter().cloned()).collect();
            Change::Changed { before, rows }
        }
        _ => Change::Blocked(format!(
            "differs from the catalog, and the file has a row of {}; correct the rows from that day on by hand",
            known.last().map_or(today, |row| row.from)
        )),
    }
}

/// Returns a row of the catalog. It has the factors of the row before that a catalog does not state.
fn row(
    prices: &Prices,
    rates: &Rates,
    from: Date,
    before: Option<&PriceRow>,
    source: &str,
) -> PriceRow {
    let kept = before.and_then(|row| row.regional_factor);
    let stated = rates.regional_factor.filter(|factor| *factor != prices.regional_factor);
    PriceRow {
        from,
        price: rates.price,
        long_prompt: rates.long_prompt.clone(),
        regional_factor: if rates.regional_factor.is_some() { stated } else { kept },
        batch_factor: before.and_then(|row| row.batch_factor),
        tier_factors: before.map(|row| row.tier_factors.clone()).unwrap_or_default(),
        source: Some(source.to_owned()),
    }
}

/// Returns true if two rows have the same price. Factors of bulk jobs and tiers are not in a catalog.
fn same_price(prices: &Prices, one: &PriceRow, other: &PriceRow) -> bool {
    let factor = |row: &PriceRow| row.regional_factor.unwrap_or(prices.regional_factor);
    (&one.price, &one.long_prompt, factor(one)) == (&other.price, &other.long_prompt, factor(other))
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use time::macros::date;

    use super::*;
    use crate::document::from_yaml;

    const GENAI: &str = include_str!("../../../../../events/prices/genai-prices.json");
    const FILE: &str = include_str!("../../../../../infra/config/dev/prices.yaml");
    const TODAY: Date = date!(2026 - 11 - 29);
    const HAIKU: &str = "anthropic.claude-haiku-5-5";

    fn compared(file: &str, catalog: &str, model: &str, replaced: bool) -> Change {
        let prices: Prices = from_yaml(file).finished().unwrap();
        compare(&prices, model, &Catalog::parse(catalog).unwrap(), TODAY, replaced)
    }

    #[test]
    fn the_shipped_file_has_the_prices_of_the_catalog() {
        for model in [HAIKU, "anthropic.claude-sonnet-5-5", "anthropic.claude-opus-5-5"] {
            assert_eq!(compared(FILE, GENAI, model, false), Change::Same, "{model}");
        }
    }

    #[test]
    fn a_model_that_the_file_lacks_gets_a_row_from_today_on() {
        let file = FILE.replace("claude-haiku-5-5", "claude-other");
        let Change::New(rows) = compared(&file, GENAI, HAIKU, false) else { panic!() };
        assert_eq!((rows.len(), rows[0].from), (1, TODAY));
        assert_eq!(rows[0].source.as_deref(), Some("genai-prices"));
        assert_eq!(rows[0].regional_factor, None, "it is the factor of the file");
    }

    #[test]
    fn a_row_that_was_written_by_hand_is_kept_unless_it_is_to_be_replaced() {
        let dearer = GENAI.replace("\"base\": 0.5,", "\"base\": 0.6,");
        let Change::Kept { before, listed } = compared(FILE, &dearer, HAIKU, false) else {
            panic!()
        };
        assert_eq!(
            (before.price.output, listed.price.output),
            (Decimal::new(5, 1), Decimal::new(6, 1))
        );
        let Change::Changed { rows, .. } = compared(FILE, &dearer, HAIKU, true) else { panic!() };
        assert_eq!((rows.len(), rows[0].from), (1, TODAY));
        let imported = FILE.replacen(
            "- from: 2026-10-07\n",
            "- from: 2026-10-07\n      source: genai-prices\n",
            1,
        );
        let Change::Changed { rows, .. } = compared(&imported, &dearer, HAIKU, false) else {
            panic!()
        };
        assert_eq!(rows[0].price.output, Decimal::new(6, 1));
    }

    #[test]
    fn a_regional_factor_of_its_own_is_imported() {
        let dearer = GENAI.replace("\"base\": 0.11,", "\"base\": 0.12,");
        let file = FILE.replace("claude-haiku-5-5", "claude-other");
        let Change::New(rows) = compared(&file, &dearer, HAIKU, false) else { panic!() };
        assert_eq!(rows[0].regional_factor, Some(Decimal::new(12, 1)));
    }

    /// A row that is added before another one would be two rows of one day, or out of order.
    #[test]
    fn a_file_with_a_row_of_today_or_later_is_not_changed() {
        let dearer = GENAI.replace("\"base\": 0.5,", "\"base\": 0.6,");
        let file = FILE.replacen("from: 2026-10-07", "from: 2026-11-29", 1);
        let Change::Blocked(reason) = compared(&file, &dearer, HAIKU, true) else { panic!() };
        assert!(reason.contains("has a row of 2026-11-29"), "{reason}");
        let later = FILE.replacen("from: 2026-10-07", "from: 2026-12-01", 1);
        let Change::Blocked(reason) = compared(&later, GENAI, HAIKU, false) else { panic!() };
        assert_eq!(reason, "has no row before 2026-12-01");
    }

    /// An announced price was withdrawn before, and its row would be used from its day on.
    #[test]
    fn an_announced_price_that_the_catalog_does_not_have_is_reported() {
        let row = "    - from: 2027-01-01\n      source: genai-prices\n      price: { input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" }\n";
        let key = "  anthropic.claude-sonnet-5-5:\n";
        let file = FILE.replacen(key, &format!("{row}{key}"), 1);
        let Change::Blocked(reason) = compared(&file, GENAI, HAIKU, false) else { panic!() };
        assert!(reason.contains("has a row of 2027-01-01"), "{reason}");
        assert!(!Change::Blocked(reason).is_checked());
    }

    #[test]
    fn a_row_keeps_the_factors_that_a_catalog_does_not_state() {
        let dearer = GENAI.replace("\"base\": 0.5,", "\"base\": 0.6,");
        let own = "- from: 2026-10-07\n      batch_factor: \"0.4\"\n      tier_factors: { flex: \"0.3\" }\n      source: genai-prices\n";
        let file = FILE.replacen("- from: 2026-10-07\n", own, 1);
        let Change::Changed { rows, .. } = compared(&file, &dearer, HAIKU, false) else { panic!() };
        assert_eq!(rows[0].batch_factor, Some(Decimal::new(4, 1)));
        assert_eq!(rows[0].tier_factors.len(), 1);
        // The catalog has no entry of a geographic profile for this model by its whole id.
        let haiku = "anthropic.claude-haiku-4-5-20251001-v1:0";
        let own = "- from: 2025-10-15\n      regional_factor: \"1.2\"\n";
        let file = FILE.replacen("- from: 2025-10-15\n", own, 1);
        assert_eq!(compared(&file, GENAI, haiku, true), Change::Same);
        let own = "- from: 2026-10-07\n      regional_factor: \"1.1\"\n";
        let file = FILE.replacen("- from: 2026-10-07\n", own, 1);
        assert_eq!(compared(&file, GENAI, HAIKU, true), Change::Same, "the factor of the file");
    }

    #[test]
    fn a_price_of_a_later_day_is_added_as_a_row_of_that_day() {
        let catalog = r#"[{"id":"aws","models":[{"id":"global.anthropic.claude-x","match":{"equals":"x"},"prices":[
            {"prices":{"input_mtok":2,"output_mtok":10,"cache_read_mtok":0.2,"cache_write_mtok":2.5,"cache_write_1h_mtok":4}},
            {"constraint":{"start_date":"2027-01-01"},"prices":{"input_mtok":1,"output_mtok":5,"cache_read_mtok":0.1,"cache_write_mtok":1.25,"cache_write_1h_mtok":2}}]}]}]"#;
        let Change::New(rows) = compared(FILE, catalog, "anthropic.claude-x", false) else {
            panic!()
        };
        let days: Vec<Date> = rows.iter().map(|row| row.from).collect();
        assert_eq!(days, [TODAY, date!(2027 - 01 - 01)]);
        let first = "    - from: 2026-11-29\n      source: genai-prices\n      price: { input: \"2\", output: \"10\", cache_read: \"0.2\", cache_write_5m: \"2.5\", cache_write_1h: \"4\" }\n";
        let file = format!("{FILE}  anthropic.claude-x:\n{first}");
        let Change::Changed { rows, .. } = compared(&file, catalog, "anthropic.claude-x", false)
        else {
            panic!()
        };
        assert_eq!(rows.iter().map(|row| row.from).collect::<Vec<_>>(), [date!(2027 - 01 - 01)]);
    }
}
