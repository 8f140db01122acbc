//! Breaks lines between words at the width of the terminal.

use crate::paint::{Ink, Line, Span, span};

/// The smallest width in characters, even if the terminal is narrower.
const LEAST: usize = 20;

/// Lines that are broken at a width.
pub struct Page {
    width: usize,
    lines: Vec<Line>,
}

impl Page {
    pub fn new(width: usize) -> Self {
        Self { width: width.max(LEAST), lines: Vec::new() }
    }

    /// Adds a line without its trailing spaces. The lines that continue it are indented by `hang` characters.
    pub fn put(&mut self, hang: usize, line: Line) {
        // If the indent leaves too little room for the text, a small indent is used.
        let hang = if hang + LEAST > self.width { 2 } else { hang };
        let mut rest: Vec<(char, Ink)> =
            line.iter().flat_map(|span| span.text.chars().map(|c| (c, span.ink))).collect();
        let end = rest.iter().rposition(|(c, _)| *c != ' ').map_or(0, |at| at + 1);
        rest.truncate(end);
        while rest.len() > self.width {
            let end = place_to_break(&rest[..=self.width], hang);
            let mut next = rest.split_off(end);
            next.drain(..next.iter().take_while(|(c, _)| *c == ' ').count());
            self.lines.push(spans(&rest));
            rest = std::iter::repeat_n((' ', Ink::Plain), hang).chain(next).collect();
        }
        self.lines.push(spans(&rest));
    }

    /// Adds an empty line.
    pub fn blank(&mut self) {
        self.lines.push(Line::new());
    }

    pub fn lines(self) -> Vec<Line> {
        self.lines
    }
}

/// Returns the position of the last space after the indent, or the end of the line if there is none.
fn place_to_break(room: &[(char, Ink)], hang: usize) -> usize {
    let blank = room.iter().rposition(|(c, _)| *c == ' ');
    blank.filter(|at| *at > hang).unwrap_or(room.len() - 1)
}

fn spans(text: &[(char, Ink)]) -> Line {
    let pieces = text.chunk_by(|(_, one), (_, other)| one == other);
    let piece = |piece: &[(char, Ink)]| -> Span {
        span(piece[0].1, piece.iter().map(|(c, _)| c).collect::<String>())
    };
    pieces.map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::render;

    fn broken(width: usize, hang: usize, text: &str) -> Vec<String> {
        let mut page = Page::new(width);
        page.put(hang, vec![span(Ink::Dim, "  a  "), span(Ink::Plain, text)]);
        page.lines().iter().map(|line| render(line, false, usize::MAX)).collect()
    }

    #[test]
    fn a_line_goes_on_below_its_text() {
        assert_eq!(broken(usize::MAX, 5, "one two"), ["  a  one two"]);
        assert_eq!(
            broken(26, 5, "twenty one characters and more"),
            ["  a  twenty one characters", "     and more"]
        );
        assert_eq!(broken(20, 5, &format!("one{}", " ".repeat(30))), ["  a  one"]);
        let long = "x".repeat(30);
        assert_eq!(
            broken(26, 5, &long),
            [format!("  a  {}", "x".repeat(21)), format!("     {}", "x".repeat(9))]
        );
    }

    #[test]
    fn a_margin_is_given_up_where_it_would_leave_no_room() {
        assert_eq!(
            broken(20, 19, "one two three four five"),
            ["  a  one two three", "  four five"]
        );
    }
}
