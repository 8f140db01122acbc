//! Displays a run or a batch while it is followed: redrawn in place, as lines of a log, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use time::OffsetDateTime;

use crate::figures;
use crate::page::Page;
use crate::paint::{Ink, Line, Span, one_line, render, span};
use crate::terminal::control;
use crate::world::World;

/// The additional indent of the lines that continue a line.
const HANG: usize = 2;
/// The largest number of lines that a line of a picture takes in a narrow terminal, so that the steps stay visible.
const MOST_LINES: usize = 3;

/// The moment that a picture shows.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: OffsetDateTime,
    /// The time at which following began.
    pub since: OffsetDateTime,
    /// The number of the picture, from 0. It animates the spinner.
    pub frame: usize,
}

/// A run or a batch that can be displayed while it is followed.
pub trait Shown {
    /// Draws the whole state, for a terminal that is redrawn. `width` is in characters.
    fn picture(&self, moment: Moment, width: usize) -> Vec<Line>;
    /// Returns a line for each event so far. The line of an event never changes, so each line is printed once.
    fn lines(&self) -> Vec<String>;
    /// Summarizes the result. Returns `None` if there is no result yet.
    fn sum(&self) -> Option<String>;
}

pub struct Screen<'a> {
    world: &'a World,
    out: &'a mut dyn Write,
    manner: Manner,
    note: Option<String>,
}

/// The lines that were printed, with the number of times: two attempts can have the same line.
#[derive(Debug, Default)]
pub struct Printed(BTreeSet<(String, usize)>);

impl Printed {
    /// Returns the lines that have not been printed yet, in the order of `lines`.
    pub fn news(&mut self, lines: Vec<String>) -> Vec<String> {
        let mut seen = BTreeMap::new();
        let mut news = Vec::new();
        for line in lines {
            let times = seen.entry(line.clone()).and_modify(|n| *n += 1).or_insert(1);
            if self.0.insert((line.clone(), *times)) {
                news.push(line);
            }
        }
        news
    }

    pub fn is_new(&mut self, line: &str) -> bool {
        self.0.insert((line.to_owned(), 1))
    }
}

enum Manner {
    /// A terminal that is redrawn, with the number of lines drawn before.
    Redrawn(usize),
    Lines(Printed),
    Nothing,
}

impl<'a> Screen<'a> {
    pub fn new(world: &'a World, out: &'a mut dyn Write, quiet: bool) -> Self {
        let has_width = world.size().0 < usize::MAX;
        let manner = match quiet {
            true => Manner::Nothing,
            // A picture is redrawn only where it is known how many lines it has.
            false if world.terminal && has_width => Manner::Redrawn(0),
            false => Manner::Lines(Printed::default()),
        };
        Self { world, out, manner, note: None }
    }

    /// Sets a note that is shown below the picture.
    pub fn note(&mut self, note: Option<String>) {
        self.note = note;
    }

    pub fn show(&mut self, shown: &impl Shown, moment: Moment) -> std::io::Result<()> {
        let height = self.world.size().1;
        self.draw(shown, moment, height)
    }

    /// Draws the last picture in full, even where it is higher than the terminal. Prints the summary to a log.
    pub fn last(&mut self, shown: &impl Shown, moment: Moment) -> std::io::Result<()> {
        self.draw(shown, moment, usize::MAX)?;
        match &self.manner {
            Manner::Lines(_) => shown.sum().map_or(Ok(()), |sum| writeln!(self.out, "{sum}")),
            _ => Ok(()),
        }
    }

    fn draw(&mut self, shown: &impl Shown, moment: Moment, height: usize) -> std::io::Result<()> {
        match &mut self.manner {
            Manner::Nothing => Ok(()),
            Manner::Lines(printed) => {
                let elapsed = figures::between(moment.since, moment.now);
                let notes = self.note.iter().filter(|note| printed.is_new(note)).cloned();
                let notes: Vec<String> = notes.collect();
                for line in printed.news(shown.lines()).into_iter().chain(notes) {
                    writeln!(self.out, "{}", log_line(&elapsed, &line))?;
                }
                self.out.flush()
            }
            Manner::Redrawn(drawn) => {
                let width = self.world.size().0;
                let mut lines = shown.picture(moment, width);
                lines.extend(self.note.iter().map(|note| vec![span(Ink::Yellow, note)]));
                let lines = fit(broken(lines, width), height);
                let text = redrawn(*drawn, &lines, self.world.color, width);
                *drawn = lines.len();
                self.out.write_all(text.as_bytes())?;
                self.out.flush()
            }
        }
    }
}

/// Formats a line of a log. Control characters are replaced because a line can contain text of a service or a model.
fn log_line(elapsed: &str, line: &str) -> String {
    format!("{elapsed:>8}  {}", one_line(line))
}

/// Returns a picture that replaces the last `drawn` lines. It is one text, so that one write draws it without flicker.
fn redrawn(drawn: usize, lines: &[Line], color: bool, width: usize) -> String {
    let (mut text, control) = (String::new(), control());
    if drawn > 0 {
        let _ = write!(text, "{control}{drawn}A");
    }
    for line in lines {
        let _ = writeln!(text, "{control}G{control}2K{}", render(line, color, width));
    }
    text.extend([control, "J"]);
    text
}

/// Breaks the lines that are wider than the terminal. A line that is much wider is cut.
pub fn broken(lines: Vec<Line>, width: usize) -> Vec<Line> {
    let mut page = Page::new(width);
    for line in lines {
        let whole: String = line.iter().map(|span| span.text.as_str()).collect();
        let indent = whole.chars().take_while(|c| *c == ' ').count();
        page.put(indent + HANG, cut(line, width.saturating_mul(MOST_LINES)));
    }
    page.lines()
}

/// Cuts a line to `most` characters.
fn cut(line: Line, most: usize) -> Line {
    let mut left = most;
    let mut cut = Line::new();
    for Span { ink, text } in line {
        let part: String = text.chars().take(left).collect();
        left -= part.chars().count();
        let is_whole = part.len() == text.len();
        cut.push(span(ink, part));
        if !is_whole {
            cut.push(span(Ink::Plain, "…"));
            break;
        }
    }
    cut
}

/// Removes lines in the middle if they do not fit the height of the terminal, because lines that have scrolled away
/// cannot be redrawn. The heading and the last lines stay.
fn fit(mut lines: Vec<Line>, height: usize) -> Vec<Line> {
    let room = height.saturating_sub(1).max(4);
    if lines.len() > room {
        let hidden = lines.len() - room + 1;
        lines.splice(2..2 + hidden, [vec![span(Ink::Dim, format!("   … {hidden} lines"))]]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(n: usize) -> Vec<Line> {
        (0..n).map(|n| vec![span(Ink::Plain, n.to_string())]).collect()
    }

    #[test]
    fn a_line_stays_one_line() {
        let line = log_line("1 s", "s failed: no\n     2 s  t done");
        assert_eq!(line, "     1 s  s failed: no      2 s  t done");
    }

    #[test]
    fn a_picture_is_never_higher_than_the_terminal() {
        assert_eq!(fit(lines(10), 11).len(), 10);
        let fitted = fit(lines(100), 24);
        assert_eq!(fitted.len(), 23);
        assert_eq!(
            (&fitted[1][0].text[..], &fitted[2][0].text[..], &fitted[22][0].text[..]),
            ("1", "   … 78 lines", "99")
        );
    }

    #[test]
    fn each_line_of_a_picture_is_a_line_of_the_terminal() {
        for width in [1, 5, 20, 40] {
            let wide = vec![vec![span(Ink::Plain, "word ".repeat(500))]];
            let lines = broken(wide, width);
            assert!(lines.len() <= 5, "{} lines", lines.len());
            for line in lines {
                assert!(render(&line, false, width).chars().count() <= width);
            }
        }
    }

    #[test]
    fn a_picture_takes_the_place_of_the_one_before() {
        let c = control();
        assert_eq!(redrawn(0, &lines(1), false, 80), format!("{c}G{c}2K0\n{c}J"));
        assert!(redrawn(3, &lines(1), false, 80).starts_with(&format!("{c}3A")));
    }
}
