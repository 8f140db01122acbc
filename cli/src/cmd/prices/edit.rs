//! Adds rows to the text of a price file. Everything else stays as a person wrote it: comments, order and layout.

use std::collections::BTreeMap;
use std::fmt::Write;

use bcce_core::config::pricing::{Price, PriceRow, Prices};
use bcce_core::document::from_yaml;
use time::Date;

/// The rows to add, by model.
pub type Additions<'a> = BTreeMap<&'a str, &'a [PriceRow]>;

/// Returns the text with the rows added, and with `date` as the day of its check if there is one.
///
/// # Errors
/// A message if the text has a layout that cannot be edited.
pub fn edited(text: &str, additions: &Additions<'_>, date: Option<Date>) -> Result<String, String> {
    let before: Prices = from_yaml(text).finished().map_err(|problems| problems.to_string())?;
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (model, rows) in additions {
        add(&mut lines, model, rows).ok_or_else(unsupported)?;
    }
    if let Some(date) = date {
        let line =
            lines.iter_mut().find(|line| line.starts_with("date:")).ok_or_else(unsupported)?;
        // A comment may follow the date.
        *line = line.replacen(&before.date.to_string(), &date.to_string(), 1);
    }
    let after = lines.join(end) + end;
    let parsed = from_yaml::<Prices>(&after).finished().map_err(|_| unsupported())?;
    if parsed == expected(before, additions, date) { Ok(after) } else { Err(unsupported()) }
}

fn unsupported() -> String {
    "has a layout that this command cannot edit; add the rows by hand, or write each model as a block with a row on each \
     `- from:` line"
        .to_owned()
}

/// Returns the prices that the edited text must have.
fn expected(mut prices: Prices, additions: &Additions<'_>, date: Option<Date>) -> Prices {
    for (model, rows) in additions {
        let known = prices.models.entry((*model).to_owned()).or_default();
        known.0.extend(rows.iter().cloned());
    }
    prices.date = date.unwrap_or(prices.date);
    prices
}

/// Adds rows to a model, or a model with these rows. Returns `None` if the place is not found.
fn add(lines: &mut Vec<String>, model: &str, rows: &[PriceRow]) -> Option<()> {
    let models = lines.iter().position(|line| line.trim_end() == "models:")?;
    let key = [format!("{model}:"), format!("\"{model}\":"), format!("'{model}':")];
    let found = lines[models..].iter().position(|line| key.iter().any(|key| line.trim() == key));
    let (start, depth) = match found {
        Some(found) => (models + found, indent(&lines[models + found])),
        None => (models, 0),
    };
    let end = end_of_block(lines, start, depth);
    let mut text = Vec::new();
    let marks = match found {
        Some(_) => indent(lines[start + 1..end].iter().find(|line| line.trim().starts_with("- "))?),
        None => {
            let sibling = lines[models + 1..end].iter().find(|line| is_content(line));
            let depth = sibling.map_or(2, |line| indent(line));
            text.push(format!("{:depth$}{model}:", ""));
            depth + 2
        }
    };
    rows.iter().for_each(|row| text.extend(row_lines(row, marks)));
    lines.splice(end..end, text);
    Some(())
}

/// Returns the position after the last line of a block that begins at `start` and whose lines are indented deeper than
/// `depth`. Comments and empty lines after it belong to what follows.
fn end_of_block(lines: &[String], start: usize, depth: usize) -> usize {
    let mut end = start + 1;
    for (n, line) in lines.iter().enumerate().skip(start + 1) {
        if is_content(line) {
            // A list may be indented as deep as its key.
            let is_item = line.trim_start().starts_with("- ") && indent(line) == depth;
            if indent(line) <= depth && !is_item {
                break;
            }
            end = n + 1;
        }
    }
    end
}

fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn row_lines(row: &PriceRow, depth: usize) -> Vec<String> {
    let mut lines = vec![format!("{:depth$}- from: {}", "", row.from)];
    let mut field = |text: String| lines.push(format!("{:depth$}  {text}", ""));
    row.source.iter().for_each(|source| field(format!("source: {source}")));
    field(format!("price: {}", price(&row.price)));
    if let Some(long) = &row.long_prompt {
        field("long_prompt:".to_owned());
        field(format!("  above_tokens: {}", long.above_tokens));
        field(format!("  price: {}", price(&long.price)));
    }
    row.regional_factor.iter().for_each(|factor| field(format!("regional_factor: \"{factor}\"")));
    row.batch_factor.iter().for_each(|factor| field(format!("batch_factor: \"{factor}\"")));
    if !row.tier_factors.is_empty() {
        let tiers = row.tier_factors.iter().map(|(tier, factor)| format!("{tier}: \"{factor}\""));
        field(format!("tier_factors: {{ {} }}", tiers.collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn price(price: &Price) -> String {
    let Price { input, output, cache_read, cache_write_5m, cache_write_1h } = price;
    let mut text = String::new();
    let _ = write!(
        text,
        "{{ input: \"{input}\", output: \"{output}\", cache_read: \"{cache_read}\", \
         cache_write_5m: \"{cache_write_5m}\", cache_write_1h: \"{cache_write_1h}\" }}"
    );
    text
}

#[cfg(test)]
mod tests {
    use bcce_core::config::pricing::PriceRows;
    use rust_decimal::Decimal;
    use time::macros::date;

    use super::*;

    const FILE: &str = include_str!("../../../../infra/config/dev/prices.yaml");
    const DAY: Date = date!(2026 - 11 - 29);

    fn row() -> PriceRow {
        let price = Price {
            input: "0.2".parse().unwrap(),
            output: "1".parse().unwrap(),
            cache_read: "0.02".parse().unwrap(),
            cache_write_5m: "0.25".parse().unwrap(),
            cache_write_1h: "0.4".parse().unwrap(),
        };
        let rows: PriceRows = price.into();
        let long = bcce_core::config::pricing::LongPrompt { above_tokens: 100_000, price };
        PriceRow {
            from: DAY,
            long_prompt: Some(long),
            source: Some("genai-prices".into()),
            ..rows.0[0].clone()
        }
    }

    fn edited_with(text: &str, model: &str, date: Option<Date>) -> Result<String, String> {
        let rows = [row()];
        edited(text, &Additions::from([(model, &rows[..])]), date)
    }

    /// Returns the lines that were added and removed.
    fn difference(before: &str, after: &str) -> Vec<String> {
        let diff = similar::TextDiff::from_lines(before, after);
        let changes =
            diff.iter_all_changes().filter(|change| change.tag() != similar::ChangeTag::Equal);
        changes.map(|change| format!("{}{}", change.tag(), change.value().trim_end())).collect()
    }

    const ROW: [&str; 6] = [
        "+    - from: 2026-11-29",
        "+      source: genai-prices",
        "+      price: { input: \"0.2\", output: \"1\", cache_read: \"0.02\", cache_write_5m: \"0.25\", cache_write_1h: \"0.4\" }",
        "+      long_prompt:",
        "+        above_tokens: 100000",
        "+        price: { input: \"0.2\", output: \"1\", cache_read: \"0.02\", cache_write_5m: \"0.25\", cache_write_1h: \"0.4\" }",
    ];

    #[test]
    fn a_row_is_added_below_those_of_its_model_and_nothing_else_changes() {
        let after = edited_with(FILE, "anthropic.claude-opus-5-5", None).unwrap();
        assert_eq!(difference(FILE, &after), ROW);
        // The comment above the next model stays there.
        assert!(after.contains("  # Prices of 3 and 15 were announced"), "{after}");
        let (own, _) = after.split_once("  # Prices of 3 and 15").unwrap();
        assert!(own.trim_end().ends_with('}'), "the row is above the comment");
    }

    #[test]
    fn a_model_is_added_at_the_end_and_the_date_of_the_check_is_set() {
        let after = edited_with(FILE, "anthropic.claude-new", Some(DAY)).unwrap();
        let mut expected =
            vec!["-date: 2026-11-28", "+date: 2026-11-29", "+  anthropic.claude-new:"];
        expected.extend(ROW);
        assert_eq!(difference(FILE, &after), expected);
    }

    #[test]
    fn the_comment_of_the_date_and_the_ends_of_lines_stay() {
        let file = FILE.replace("date: 2026-11-28\n", "date: 2026-11-28  # checked by Ann\n");
        let after = edited_with(&file, "anthropic.claude-new", Some(DAY)).unwrap();
        assert!(after.contains("\ndate: 2026-11-29  # checked by Ann\n"), "{after}");
        let file = FILE.replace('\n', "\r\n");
        let after = edited_with(&file, "anthropic.claude-new", None).unwrap();
        assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    }

    #[test]
    fn the_factors_of_a_row_are_written() {
        let mut row = row();
        (row.regional_factor, row.batch_factor) =
            (Some(Decimal::new(12, 1)), Some(Decimal::new(4, 1)));
        row.tier_factors = [("flex".to_owned(), Decimal::new(3, 1))].into();
        let rows = [row];
        let after = edited(FILE, &Additions::from([("anthropic.claude-new", &rows[..])]), None);
        let after = after.unwrap();
        assert!(after.ends_with("regional_factor: \"1.2\"\n      batch_factor: \"0.4\"\n      tier_factors: { flex: \"0.3\" }\n"), "{after}");
    }

    #[test]
    fn a_key_below_the_models_stays_below_them() {
        let moved =
            FILE.replace("batch_factor: \"0.5\"\n", "") + "# Half.\nbatch_factor: \"0.5\"\n";
        let after = edited_with(&moved, "anthropic.claude-new", None).unwrap();
        assert!(
            after.ends_with("cache_write_1h: \"0.4\" }\n# Half.\nbatch_factor: \"0.5\"\n"),
            "{after}"
        );
    }

    #[test]
    fn a_layout_that_cannot_be_edited_is_left_alone() {
        let flow = "version: 1\ndate: 2026-11-28\nregional_factor: \"1.1\"\nmodels: { anthropic.claude-a: [{ from: 2026-10-07, price: { input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" } }] }\n";
        let cause = edited_with(flow, "anthropic.claude-new", None).unwrap_err();
        assert!(cause.contains("layout that this command cannot edit"), "{cause}");
        let block = "version: 1\ndate: 2026-11-28\nregional_factor: \"1.1\"\nmodels:\n  anthropic.claude-a:\n    [{ from: 2026-10-07, price: { input: \"1\", output: \"5\", cache_read: \"0.1\", cache_write_5m: \"1.25\", cache_write_1h: \"2\" } }]\n";
        assert!(edited_with(block, "anthropic.claude-a", None).is_err());
        assert!(edited_with(block, "anthropic.claude-b", None).is_ok());
    }
}
