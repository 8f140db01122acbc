//! What an import of a catalog changes in the price file. An import only adds rows: a call keeps the price of its day,
//! and what a person wrote stays.

use rust_decimal::Decimal;
use time::Date;

use crate::config::pricing::catalog::{Catalog, Rates};
use crate::config::pricing::{PriceRow, Prices};

/// The outcome of an import for one model.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The catalog has the price of the file.
    Same,
    /// The file has no row for the day of the import. These rows are added.
    New(Vec<PriceRow>),
    /// The price differs from that of the last row, which was imported. These rows are added.
    Changed { before: PriceRow, rows: Vec<PriceRow> },
    /// The price differs from that of the last row, which was written by hand. Nothing is added.
    Kept { before: PriceRow, listed: PriceRow },
    /// The catalog has no usable price, for this reason.
    Missing(String),
}

impl Change {
    /// Returns the rows to add.
    pub fn rows(&self) -> &[PriceRow] {
        match self {
            Self::New(rows) | Self::Changed { rows, .. } => rows,
            Self::Same | Self::Kept { .. } | Self::Missing(_) => &[],
        }
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
    let factor = listed.regional_factor.filter(|factor| *factor != prices.regional_factor);
    let current =
        listed.rates.iter().rposition(|rates| rates.from.is_none_or(|from| from <= today));
    let Some(current) = current else {
        return Change::Missing("has no price in the catalog before a later day".to_owned());
    };
    let row = |rates: &Rates, from| row(rates, from, factor, catalog.name);
    // A price that began before the last check of the file was missed until now. The calls in between keep the price
    // that their manifests state, so the row starts today.
    let now = row(&listed.rates[current], today);
    let later = listed.rates[current + 1..].iter();
    let later: Vec<PriceRow> = later.filter_map(|rates| Some(row(rates, rates.from?))).collect();
    let known = prices.models.get(model).filter(|rows| !rows.0.is_empty());
    let Some((rows, before)) = known.and_then(|rows| Some((rows, rows.on(today)?))) else {
        return match known {
            // All rows of the file lie in the future. A row before them would change their order.
            Some(_) => Change::Missing("has only rows of later days in the file".to_owned()),
            None => Change::New(std::iter::once(now).chain(later).collect()),
        };
    };
    let last = rows.0.last().unwrap_or(before);
    let later: Vec<PriceRow> = later.into_iter().filter(|row| row.from > last.from).collect();
    let is_same = same_price(before, &now);
    if is_same && later.is_empty() {
        return Change::Same;
    }
    if !replaced && last.source.is_none() {
        let listed = later.into_iter().next().filter(|_| is_same).unwrap_or(now);
        return Change::Kept { before: before.clone(), listed };
    }
    let now = Some(now).filter(|_| !is_same);
    if now.is_some() && last.from >= today {
        return Change::Missing(format!(
            "differs from the catalog, and the file has a row of {}; correct that row by hand",
            last.from
        ));
    }
    Change::Changed { before: before.clone(), rows: now.into_iter().chain(later).collect() }
}

fn row(rates: &Rates, from: Date, regional_factor: Option<Decimal>, source: &str) -> PriceRow {
    PriceRow {
        from,
        price: rates.price,
        long_prompt: rates.long_prompt.clone(),
        regional_factor,
        batch_factor: None,
        tier_factors: Default::default(),
        source: Some(source.to_owned()),
    }
}

/// Returns true if two rows have the same price. Factors of bulk jobs and tiers are not in a catalog.
fn same_price(one: &PriceRow, other: &PriceRow) -> bool {
    (&one.price, &one.long_prompt, one.regional_factor)
        == (&other.price, &other.long_prompt, other.regional_factor)
}

#[cfg(test)]
mod tests {
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
    fn a_file_with_a_row_of_today_is_not_changed() {
        let dearer = GENAI.replace("\"base\": 0.5,", "\"base\": 0.6,");
        let file = FILE.replacen("from: 2026-10-07", "from: 2026-11-29", 1);
        let Change::Missing(reason) = compared(&file, &dearer, HAIKU, true) else { panic!() };
        assert!(reason.contains("has a row of 2026-11-29"), "{reason}");
        let later = FILE.replacen("from: 2026-10-07", "from: 2026-12-01", 1);
        let Change::Missing(reason) = compared(&later, GENAI, HAIKU, false) else { panic!() };
        assert_eq!(reason, "has only rows of later days in the file");
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
