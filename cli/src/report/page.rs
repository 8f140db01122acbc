//! The frame that all reports share. Its style is `style.css`, and that of drawings
//! `../graph/svg.css`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcce_core::base::digest::sha256;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use time::OffsetDateTime;

use crate::figures;
use crate::paint::{Ink, Span};
use crate::terminal::without_controls;

const STYLE: &str = concat!(include_str!("style.css"), include_str!("../graph/svg.css"));

/// A report. All texts are escaped when it is rendered.
pub struct Page {
    /// The title of the window.
    pub title: String,
    /// The line above the headline: what this is a report of.
    pub kicker: String,
    pub headline: String,
    pub tone: Tone,
    /// The name and the message of an error.
    pub error: Option<(String, String)>,
    /// One or two sentences that say how it went.
    pub lead: Vec<String>,
    /// The most important numbers, at most four.
    pub numbers: Vec<Number>,
    pub sections: Vec<Section>,
    /// The command that wrote the report, and when.
    pub command: String,
    pub made_at: OffsetDateTime,
}

/// A large number.
pub struct Number {
    pub value: String,
    pub label: &'static str,
    pub note: String,
}

/// A section that answers one question.
pub struct Section {
    /// The anchor.
    pub id: &'static str,
    pub heading: &'static str,
    /// The answer in a sentence.
    pub lead: String,
    pub body: Markup,
}

/// A judgement that decides the color of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Neutral,
}

impl Tone {
    /// Returns the class of the style.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Neutral => "plain",
        }
    }
}

impl Page {
    /// Renders the page. Control characters and bidirectional controls become U+FFFD, so that no text can change how
    /// the text beside it reads.
    pub fn render(&self) -> String {
        without_controls(&self.markup().into_string())
    }

    fn markup(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy());
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    (self.heading())
                    main id="content" { @for section in &self.sections { (section.markup()) } }
                    footer {
                        p { "Written by " code { (self.command) } " on " (figures::stamp(self.made_at)) ". All times are in UTC." }
                    }
                }
            }
        }
    }

    fn heading(&self) -> Markup {
        html! {
            header {
                p.kicker { (self.kicker) }
                h1 class=(self.tone.class()) { (self.headline) }
                @if let Some((name, message)) = &self.error {
                    div.cause { p.lead.bad { (name) } p { (message) } }
                }
                @for sentence in &self.lead { p.lead { (sentence) } }
                dl.numbers {
                    @for number in &self.numbers {
                        div { dt { (number.label) } dd.value { (number.value) } dd.note { (number.note) } }
                    }
                }
                nav aria-label="Sections" {
                    ul {
                        @for section in &self.sections {
                            li { a href={ "#" (section.id) } { (section.heading) } }
                        }
                    }
                }
            }
        }
    }
}

impl Section {
    fn markup(&self) -> Markup {
        html! {
            section id=(self.id) aria-labelledby={ (self.id) "-heading" } {
                h2 id={ (self.id) "-heading" } { (self.heading) }
                @if !self.lead.is_empty() { p.lead { (self.lead) } }
                div.body { (self.body) }
            }
        }
    }
}

/// Returns the policy of the page: it may use its own style and nothing else.
fn policy() -> String {
    let digest = BASE64_STANDARD.encode(sha256(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'")
}

/// Returns a list of facts, each with its label.
pub fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Markup {
    html! { dl.facts { @for (label, value) in facts { dt { (label) } dd { (value) } } } }
}

/// Returns a line of the terminal with its colors.
pub fn line(line: &[Span]) -> Markup {
    html! { @for span in line { span class=(class(span.ink)) { (span.text) } } }
}

fn class(ink: Ink) -> &'static str {
    match ink {
        Ink::Plain => "plain",
        Ink::Bold => "strong",
        Ink::Dim => "soft",
        Ink::Green => "good",
        Ink::Red => "bad",
        Ink::Yellow => "warn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> String {
        let own = || text.to_owned();
        let body = html! {
            (facts([("run", own())]))
            (line(&[crate::paint::span(Ink::Red, text)]))
        };
        let page = Page {
            title: own(),
            kicker: own(),
            headline: own(),
            tone: Tone::Good,
            error: Some((own(), own())),
            lead: vec![own()],
            numbers: vec![Number { value: own(), label: "cost", note: own() }],
            sections: vec![Section { id: "time", heading: "Time", lead: own(), body }],
            command: own(),
            made_at: OffsetDateTime::UNIX_EPOCH,
        };
        page.render()
    }

    #[test]
    fn no_text_becomes_markup() {
        let hostile = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&";
        let page = page(hostile);
        assert_eq!(page.matches("&lt;script&gt;").count(), 12);
        for markup in ["<script", "<img", "</title></", "onerror=alert(1)>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert_eq!((page.matches("</style>").count(), page.matches("</title>").count()), (1, 1));
    }

    #[test]
    fn no_text_turns_or_controls_its_neighbours() {
        let page = page("a\u{202e}b\u{0}c\u{7f}");
        assert!(page.contains("a\u{fffd}b\u{fffd}c\u{fffd}"));
    }

    #[test]
    fn the_style_is_the_only_thing_that_the_policy_allows() {
        let page = page("x");
        let style = page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next());
        assert_eq!(style, Some(STYLE), "the policy has the digest of this text");
        assert!(page.contains("default-src 'none'; style-src 'sha256-"));
        // An attribute with a style would be blocked by the policy.
        assert!(!page.contains(" style="));
    }
}
