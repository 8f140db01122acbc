//! How a run or a batch is shown while it is followed: redrawn in place, as lines, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write;

use time::OffsetDateTime;

use crate::figures;
use crate::paint::{Ink, Line, one_line, render, span};
use crate::terminal::control;
use crate::world::World;

/// When a picture is taken.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: OffsetDateTime,
    /// When one began to look, or sent the request.
    pub since: OffsetDateTime,
    /// Counts pictures; turns the spinner.
    pub frame: usize,
}

/// What can be shown while it is followed.
pub trait Shown {
    fn picture(&self, moment: Moment, width: usize) -> Vec<Line>;
    /// Returns everything that can be said. A line that is true once stays as it is, so that it is printed once.
    fn lines(&self) -> Vec<String>;
    /// Sums up what it came to, once that is known.
    fn sum(&self) -> Option<String>;
}

pub struct Screen<'a> {
    world: &'a World,
    out: &'a mut dyn Write,
    manner: Manner,
    note: Option<String>,
}

/// The lines that were printed, and how often: two attempts may read alike.
#[derive(Debug, Default)]
pub struct Printed(BTreeSet<(String, usize)>);

impl Printed {
    /// Returns what is new, in the order of `lines`.
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
    /// On a terminal; the number of lines that stand there.
    Redrawn(usize),
    Lines(Printed),
    Nothing,
}

impl<'a> Screen<'a> {
    pub fn new(world: &'a World, out: &'a mut dyn Write, quiet: bool) -> Self {
        let manner = match (quiet, world.terminal) {
            (true, _) => Manner::Nothing,
            (_, true) => Manner::Redrawn(0),
            (_, false) => Manner::Lines(Printed::default()),
        };
        Self { world, out, manner, note: None }
    }

    /// Something to say beside it.
    pub fn note(&mut self, note: Option<String>) {
        self.note = note;
    }

    pub fn show(&mut self, shown: &impl Shown, moment: Moment) -> std::io::Result<()> {
        let height = self.world.size().1;
        self.draw(shown, moment, height)
    }

    /// Draws the last picture, which stays, whole.
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
                let lines = fit(lines, height);
                let text = redrawn(*drawn, &lines, self.world.color, width);
                *drawn = lines.len();
                self.out.write_all(text.as_bytes())?;
                self.out.flush()
            }
        }
    }
}

/// Returns a line for a log. The error of a step is a service's or a model's text.
fn log_line(elapsed: &str, line: &str) -> String {
    format!("{elapsed:>8}  {}", one_line(line))
}

/// Returns a picture that replaces `drawn` lines. It is written at once, so that it does not flicker.
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

/// Cuts lines in the middle, since what has scrolled away cannot be redrawn. The heading stays, and the end, where
/// the work is.
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
    fn a_picture_takes_the_place_of_the_one_before() {
        let c = control();
        assert_eq!(redrawn(0, &lines(1), false, 80), format!("{c}G{c}2K0\n{c}J"));
        assert!(redrawn(3, &lines(1), false, 80).starts_with(&format!("{c}3A")));
    }
}
