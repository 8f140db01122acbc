//! Lays out tables, bars and sparklines.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::paint::{Ink, Line, Span, span};

/// The number of spaces between two columns.
const GAP: usize = 2;
/// The width of the longest bar in characters.
const BAR: usize = 20;

/// Rows below headings.
#[derive(Debug, Default)]
pub struct Table {
    pub headings: Vec<String>,
    /// The number of columns that are aligned to the left. Further columns are aligned to the right.
    pub texts: usize,
    pub rows: Vec<Row>,
}

/// The cells of a row.
#[derive(Debug)]
pub struct Row {
    pub cells: Vec<Span>,
    /// The length of the bar behind the cells, as a share of the longest one.
    pub bar: Option<f64>,
}

impl Row {
    /// Returns a row of plain cells without a bar.
    pub fn plain(cells: impl IntoIterator<Item = String>) -> Self {
        let cells = cells.into_iter().map(|cell| span(Ink::Plain, cell)).collect();
        Self { cells, bar: None }
    }

    /// Returns the row in bold.
    pub fn bold(mut self) -> Self {
        self.cells.iter_mut().for_each(|cell| cell.ink = Ink::Bold);
        self
    }
}

impl Table {
    /// Returns the lines of the table. `width` is that of the terminal, if it has bars: they are left out if it is too
    /// narrow for them.
    pub fn lines(self, width: Option<usize>) -> Vec<Line> {
        let headings = self.headings.iter().map(|heading| span(Ink::Dim, heading)).collect();
        let headings = Row { cells: headings, bar: None };
        let mut widths = vec![0; self.headings.len()];
        for row in std::iter::once(&headings).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let whole: usize = widths.iter().map(|width| width + GAP).sum();
        let has_bars = width.is_some_and(|width| whole + BAR <= width);
        std::iter::once(headings)
            .chain(self.rows)
            .map(|row| aligned(row, self.texts, &widths, has_bars))
            .collect()
    }
}

fn aligned(row: Row, texts: usize, widths: &[usize], has_bars: bool) -> Line {
    let cells = row.cells.into_iter().zip(widths).enumerate();
    let mut line: Line = cells
        .map(|(n, (cell, width))| {
            let gap = if n == 0 { 0 } else { GAP };
            let text = if n < texts {
                format!("{:gap$}{:<width$}", "", cell.text)
            } else {
                format!("{:gap$}{:>width$}", "", cell.text)
            };
            span(cell.ink, text)
        })
        .collect();
    if let Some(share) = row.bar.filter(|share| has_bars && *share > 0.0) {
        line.push(span(Ink::Green, format!("{:GAP$}{}", "", bar(share))));
    }
    line
}

/// Draws a bar in eighths of a character. A share above 0 has at least one.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let most = BAR * 8;
    let eighths =
        ((share.clamp(0.0, 1.0) * most as f64).round() as usize).max(usize::from(share > 0.0));
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// Draws a character for each amount: a dot for 0, and a block whose height is its share of the highest amount.
pub fn sparkline(amounts: &[Decimal]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = amounts.iter().max().copied().unwrap_or_default();
    let block = |amount: &Decimal| match share(*amount, most) {
        0.0 => '·',
        part => BLOCKS[((part * 8.0).ceil() as usize).clamp(1, 8) - 1],
    };
    amounts.iter().map(block).collect()
}

/// Returns an amount as a share of another one, or 0 if that one is 0.
pub fn share(amount: Decimal, of: Decimal) -> f64 {
    amount.checked_div(of).and_then(|share| share.to_f64()).unwrap_or(0.0)
}

/// Formats a share: `62 %`, `<1 %`.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 1.0 => "<1 %".into(),
        percent => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::render;

    #[test]
    fn bars_and_sparklines_show_the_smallest_amount_and_nothing_for_none() {
        assert_eq!([0.0, 0.0001, 0.5, 1.0].map(bar).map(|bar| bar.chars().count()), [0, 1, 10, 20]);
        let amounts = [0, 1, 50, 100].map(Decimal::from);
        assert_eq!(sparkline(&amounts), "·▁▄█");
        assert_eq!(sparkline(&[Decimal::ZERO; 2]), "··");
        assert_eq!([0.0, 0.004, 0.5].map(percent), ["0 %", "<1 %", "50 %"]);
    }

    #[test]
    fn a_narrow_terminal_has_no_bars_and_a_pipe_has_none_either() {
        let lines = |width| {
            let cells = vec![span(Ink::Plain, "explain"), span(Ink::Plain, "$1")];
            let rows = vec![Row { cells, bar: Some(1.0) }];
            let table = Table { headings: vec!["workflow".into(), "cost".into()], texts: 1, rows };
            let lines = table.lines(width);
            lines.iter().map(|line| render(line, false, usize::MAX)).collect::<Vec<_>>()
        };
        assert_eq!(lines(None), ["workflow  cost", "explain     $1"]);
        assert_eq!(lines(Some(33)), lines(None));
        assert_eq!(lines(Some(80))[1], format!("explain     $1  {}", "█".repeat(20)));
    }
}
