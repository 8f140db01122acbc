//! The section about what was verified, of a run or a batch.

use maud::{Markup, html};

use crate::exit::{Exit, Failure};
use crate::paint::{Ink, Line};
use crate::report::page::{Section, Tone, line};
use crate::seal::verified::Verified;

/// The result of verifying a run or a batch.
pub enum Seal {
    /// It is not finalized, so there is nothing to verify yet.
    Open,
    /// It could not be checked, for this reason.
    Unknown(String),
    /// It should be sealed and is not, or the key is not the pinned one.
    Broken(String),
    Checked {
        is_right: bool,
        /// A line for each check.
        lines: Vec<Line>,
    },
}

impl Seal {
    /// Takes the result of verifying something that has ended. A reader of the report learns of a failure, and the
    /// report is written all the same.
    pub fn of<M>(verified: Result<Verified<M>, Failure>) -> Self {
        match verified {
            Ok(verified) => Self::Checked {
                is_right: verified.report.faults.is_empty(),
                lines: verified.lines(),
            },
            Err(failure) if failure.exit == Exit::Failed => Self::Broken(failure.what),
            Err(failure) => Self::Unknown(failure.what),
        }
    }

    /// Returns the section. `noun` is `run` or `batch`.
    pub fn section(&self, noun: &str) -> Section {
        let (tone, claim) = match self {
            Self::Open => (Tone::Neutral, "Not sealed yet"),
            Self::Unknown(_) => (Tone::Warn, "Not checked"),
            Self::Checked { is_right: true, .. } => (Tone::Good, "Nothing changed"),
            Self::Broken(_) | Self::Checked { is_right: false, .. } => {
                (Tone::Bad, "Not as it was sealed")
            }
        };
        let lead = match self {
            Self::Open => format!("The {noun} is signed when it is finalized."),
            Self::Unknown(cause) => format!("The seal could not be checked: {cause}."),
            Self::Broken(cause) => format!("The seal does not hold: {cause}."),
            Self::Checked { .. } => {
                "This was checked when the report was written. The page itself is not signed."
                    .into()
            }
        };
        let lines = match self {
            Self::Checked { lines, .. } => lines.as_slice(),
            Self::Open | Self::Unknown(_) | Self::Broken(_) => &[],
        };
        let body = html! {
            p class={ "seal " (tone.class()) } { (claim) }
            ul.marked { @for each in lines { li { (marked(each)) } } }
        };
        Section { id: "seal", heading: "What was verified", lead, body }
    }
}

/// Returns a line, whose mark is drawn because not every font has it.
fn marked(text: &Line) -> Markup {
    let (mark, rest) = match text.split_first() {
        Some((mark, rest)) if mark.text.trim() == "✓" => {
            (Some(("M2 9l4 4 8-10", mark.ink)), rest)
        }
        Some((mark, rest)) if mark.text.trim() == "✗" => {
            (Some(("M3 3l10 10M13 3L3 13", mark.ink)), rest)
        }
        _ => (None, text.as_slice()),
    };
    html! {
        @if let Some((path, ink)) = mark {
            svg.mark.good[ink == Ink::Green].bad[ink == Ink::Red] viewBox="0 0 16 16"
                role="img" aria-label=(if ink == Ink::Green { "passed" } else { "failed" }) { path d=(path) {} }
        } @else { span {} }
        span { (line(rest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::run::manifest::Manifest;

    #[test]
    fn a_missing_seal_is_a_fault_and_a_denied_key_is_not() {
        let failure = |exit| {
            Err::<Verified<Manifest>, _>(Failure {
                exit,
                what: "m is gone".into(),
                then: String::new(),
            })
        };
        for (exit, claim, tone) in [
            (Exit::Failed, "Not as it was sealed", "seal bad"),
            (Exit::Usage, "Not checked", "seal warn"),
        ] {
            let section = Seal::of(failure(exit)).section("run");
            let body = section.body.into_string();
            assert!(body.contains(claim) && body.contains(tone), "{body}");
            assert!(section.lead.contains("m is gone"), "{}", section.lead);
        }
    }
}
