//! Lays out the columns of the table. A narrow terminal shows fewer columns.

use crate::paint::{Ink, Line, Span, span};

pub type Cells = Vec<Span>;

const HEADINGS: [&str; 9] =
    ["", "step", "model", "region", "first token", "time", "tokens in", "out", "cost"];

/// The number of spaces between two columns.
const GAP: usize = 2;
/// The first of the columns with numbers, which are aligned to the right.
const FIRST_NUMBER: usize = 4;
/// The columns that are removed if the terminal is too narrow, in this order: first token, model, tokens in, out,
/// region.
const DISPENSABLE: [usize; 5] = [4, 2, 6, 7, 3];

/// Lays out rows, each with the lines below it. A column is as wide as its widest cell. If the rows are wider than
/// `room` characters, dispensable columns are removed.
pub fn lay_out(rows: Vec<(Cells, Vec<Line>)>, room: usize) -> Vec<Line> {
    if rows.is_empty() {
        return Vec::new();
    }
    let headings: Cells = HEADINGS.iter().map(|heading| span(Ink::Dim, *heading)).collect();
    let mut widths = [0; HEADINGS.len()];
    for cells in std::iter::once(&headings).chain(rows.iter().map(|(cells, _)| cells)) {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.text.chars().count() + GAP);
        }
    }
    for column in DISPENSABLE {
        if widths.iter().sum::<usize>().saturating_sub(GAP) > room {
            widths[column] = 0;
        }
    }
    let mut lines = vec![aligned(headings, &widths)];
    for (cells, below) in rows {
        lines.push(aligned(cells, &widths));
        lines.extend(below);
    }
    lines
}

fn aligned(cells: Cells, widths: &[usize]) -> Line {
    let shown = cells.into_iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0);
    let pad = |(n, (cell, width)): (usize, (Span, &usize))| {
        let (text, width) = (cell.text, width - GAP);
        let text = match n {
            0 => format!("{text:<width$} "),
            1..FIRST_NUMBER => format!("{text:<width$}  "),
            _ => format!("{text:>width$}  "),
        };
        Span { ink: cell.ink, text }
    };
    shown.map(pad).collect()
}
