//! ANSI, where it is wanted.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

/// A piece of a line, in one ink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub ink: Ink,
    pub text: String,
}

pub type Line = Vec<Span>;

pub fn span(ink: Ink, text: impl Into<String>) -> Span {
    Span { ink, text: text.into() }
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Green => "\x1b[32m",
            Self::Red => "\x1b[31m",
            Self::Yellow => "\x1b[33m",
        }
    }
}

/// The line cut to `width` characters, in colour or not. Control characters have no place in it.
pub fn render(line: &[Span], color: bool, width: usize) -> String {
    let whole: String = line.iter().map(|span| span.text.as_str()).collect();
    let whole = whole.trim_end().chars().count();
    let (mut left, cut) =
        if whole > width { (width.saturating_sub(1), true) } else { (width, false) };
    let mut text = String::new();
    for span in line {
        let part: String = span.text.chars().take(left).map(printable).collect();
        left -= part.chars().count();
        match color && span.ink != Ink::Plain && !part.is_empty() {
            true => text.extend([span.ink.code(), &part, "\x1b[0m"]),
            false => text.push_str(&part),
        }
    }
    if cut && width > 0 {
        text.push('…');
    }
    text.trim_end().to_owned()
}

/// What a service or a model said must not steer the terminal.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(render(&line(), true, 6), "\x1b[32mdone\x1b[0m …");
    }
}
