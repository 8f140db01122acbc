//! Columns that are drawn to scale, such as those of a distribution. They are SVG without texts: the numbers stand in
//! the table below them, where they can be read at any width.

use maud::{Markup, html};

/// The height of the highest column in pixels.
const HEIGHT: f64 = 160.0;
/// The lowest height in pixels at which a value is seen.
const LEAST: f64 = 2.0;
/// The part of a column's width that it leaves free.
const GAP: f64 = 0.12;

/// A column. Its values stand on each other, each with the class of its color.
pub struct Column {
    pub label: String,
    pub values: Vec<(&'static str, u64)>,
}

impl Column {
    fn sum(&self) -> u64 {
        self.values.iter().map(|(_, value)| value).sum()
    }
}

/// Draws columns, with the labels of the first and of the last one below them. `headings` are those of the table: what
/// the columns are, and what their values count. `shown` formats a value.
pub fn columns(
    columns: &[Column],
    headings: &[&str],
    ends: [&str; 2],
    shown: impl Fn(u64) -> String,
) -> Markup {
    let most = columns.iter().map(Column::sum).max().unwrap_or(0).max(1);
    let width = 100.0 / columns.len().max(1) as f64;
    html! {
        figure {
            svg.track height=(HEIGHT) aria-hidden="true" {
                rect.ground width="100%" height=(HEIGHT) {}
                @for (n, column) in columns.iter().enumerate() {
                    @for (class, from, height) in pieces(column, most) {
                        rect class=(class) x=(percent(width * (n as f64 + GAP / 2.0)))
                            width=(percent(width * (1.0 - GAP))) y=(pixels(HEIGHT - from - height)) height=(pixels(height)) {}
                    }
                }
            }
            div.scale aria-hidden="true" { @for end in ends { span { (end) } } }
        }
        (table(columns, headings, shown))
    }
}

/// Returns numbers side by side, each with its label.
pub fn numbers(numbers: &[(&str, String)]) -> Markup {
    html! {
        ul.parts { @for (label, value) in numbers { li { span.value.figure { (value) } (label) } } }
    }
}

/// Returns where each value of a column begins and how high it is, in pixels. A value of 0 is left out.
fn pieces(column: &Column, most: u64) -> Vec<(&'static str, f64, f64)> {
    let mut from = 0.0;
    let mut pieces = Vec::new();
    for (class, value) in column.values.iter().filter(|(_, value)| *value > 0) {
        let height = (*value as f64 / most as f64 * HEIGHT).max(LEAST).min(HEIGHT - from);
        pieces.push((*class, from, height));
        from += height;
    }
    pieces
}

fn table(columns: &[Column], headings: &[&str], shown: impl Fn(u64) -> String) -> Markup {
    html! {
        details {
            summary { "The numbers" }
            div.inside.wide {
                table {
                    thead { tr { @for (n, heading) in headings.iter().enumerate() {
                        th scope="col" class=[(n > 0).then_some("figure")] { (heading) }
                    } } }
                    tbody {
                        @for column in columns.iter().filter(|column| column.sum() > 0) {
                            tr {
                                td { (column.label) }
                                @for (_, value) in &column.values { td.figure { (shown(*value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn percent(value: f64) -> String {
    format!("{value:.3}%")
}

fn pixels(value: f64) -> String {
    format!("{value:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[&[u64]]) -> String {
        let column = |values: &&[u64]| Column {
            label: "<b>".into(),
            values: values.iter().map(|value| ("answered", *value)).collect(),
        };
        let all: Vec<Column> = values.iter().map(column).collect();
        columns(&all, &["time", "runs"], ["a", "b"], crate::figures::count).into_string()
    }

    #[test]
    fn the_highest_column_fills_the_height_and_the_lowest_value_is_seen() {
        let drawn = drawn(&[&[1_000], &[500], &[1]]);
        for place in [
            r#"y="0.00" height="160.00""#,
            r#"y="80.00" height="80.00""#,
            r#"y="158.00" height="2.00""#,
        ] {
            assert!(drawn.contains(place), "{place}: {drawn}");
        }
        assert!(drawn.contains("<td>&lt;b&gt;</td><td class=\"figure\">1,000</td>"), "{drawn}");
    }

    #[test]
    fn values_stand_on_each_other_within_the_height() {
        let piece = pieces(
            &Column { label: String::new(), values: vec![("a", 99), ("b", 0), ("c", 1)] },
            100,
        );
        assert_eq!(piece, [("a", 0.0, 158.4), ("c", 158.4, 1.5999999999999943)]);
    }

    #[test]
    fn nothing_is_drawn_for_nothing() {
        assert_eq!(drawn(&[&[0], &[0]]).matches("<rect").count(), 1, "the ground alone");
        assert!(!drawn(&[]).contains("NaN"));
    }
}
