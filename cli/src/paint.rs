//! Lines of text with colors, rendered with or without ANSI escape codes.

use crate::terminal::control;

/// The color or weight of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

/// A part of a line in one color.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub ink: Ink,
    pub text: String,
}

pub type Line = Vec<Span>;

pub fn span(ink: Ink, text: impl Into<String>) -> Span {
    Span { ink, text: text.into() }
}

/// The width of the label before the value of a field, in characters.
pub const MARGIN: usize = 13;

/// Returns the line of a field: its name as a label, then its value.
pub fn field(name: &str, value: String) -> Line {
    vec![span(Ink::Dim, format!("  {name:<11}")), span(Ink::Plain, value)]
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1m",
            Self::Dim => "2m",
            Self::Green => "32m",
            Self::Red => "31m",
            Self::Yellow => "33m",
        }
    }
}

/// Renders a line, cut to `width` characters and with or without colors. Control characters become spaces.
pub fn render(line: &[Span], color: bool, width: usize) -> String {
    let whole: String = line.iter().map(|span| span.text.as_str()).collect();
    let whole = whole.trim_end().chars().count();
    let (mut left, cut) =
        if whole > width { (width.saturating_sub(1), true) } else { (width, false) };
    let mut text = String::new();
    for span in line {
        let part: String = span.text.chars().take(left).map(printable).collect();
        left -= part.chars().count();
        push(&mut text, span.ink, &part, color);
    }
    if cut && width > 0 {
        text.push('…');
    }
    text.trim_end().to_owned()
}

/// Renders a line with its trailing spaces, with or without colors, because a diff may differ in spaces alone. Control
/// characters other than tabs become visible symbols.
pub fn render_exactly(line: &[Span], color: bool) -> String {
    let mut text = String::new();
    for span in line {
        let part: String = span.text.chars().map(visible).collect();
        push(&mut text, span.ink, &part, color);
    }
    text
}

fn push(text: &mut String, ink: Ink, part: &str, color: bool) {
    if color && ink != Ink::Plain && !part.is_empty() {
        text.extend([control(), ink.code(), part, control(), "0m"]);
    } else {
        text.push_str(part);
    }
}

/// Replaces a control character by a visible symbol. For ASCII these are the characters from U+2400 on.
fn visible(c: char) -> char {
    match c {
        '\t' => c,
        '\0'..' ' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(' '),
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Replaces each control character by a space, so that foreign text cannot begin a new line.
pub fn one_line(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// Replaces a control character by a space: text of a service or a model must not control the terminal.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::terminal::Output;

    fn line() -> Line {
        vec![span(Ink::Green, "done"), span(Ink::Plain, " in\x1b time")]
    }

    #[test]
    fn a_line_is_cut_to_the_width_it_has() {
        assert_eq!(render(&line(), false, 80), "done in  time");
        assert_eq!(render(&line(), false, 7), "done i…");
        assert_eq!(render(&[span(Ink::Plain, "done   ")], false, 4), "done");
        assert_eq!(render(&line(), false, 0), "");
    }

    #[test]
    fn colour_does_not_count_for_the_width() {
        let c = control();
        assert_eq!(render(&line(), true, 6), format!("{c}32mdone{c}0m …"));
    }

    #[test]
    fn foreign_text_stays_on_the_line_it_stands_on() {
        assert_eq!(one_line("a\r\n  -> b\x1b\u{85}é"), "a    -> b  é");
    }

    #[test]
    fn a_blank_and_a_control_character_are_seen_where_they_matter() {
        let line =
            [span(Ink::Plain, "-"), span(Ink::Red, "a:\tb \r"), span(Ink::Plain, "\x1b\u{9b} ")];
        assert_eq!(render_exactly(&line, false), "-a:\tb \u{240d}\u{241b}\u{fffd} ");
        let c = control();
        assert_eq!(render_exactly(&line[..2], true), format!("-{c}31ma:\tb \u{240d}{c}0m"));
    }
    #[test]
    fn our_own_colours_reach_a_terminal_and_those_of_others_do_not() {
        let line = render(&[span(Ink::Red, "x"), span(Ink::Plain, "\u{1b}[32my")], true, 80);
        let mut shown = Vec::new();
        Output::new(&mut shown, true).write_all(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), "\u{1b}[31mx\u{1b}[0m [32my");
    }
}
