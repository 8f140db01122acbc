//! Finds code that may panic in added lines of production Rust.

use super::diff::{Diff, Line};
use super::finding::{Finding, Severity};
use super::source::{is_rust, is_silent, without_strings};

/// A rule: a test for the lines that break it, the severity, and the message.
type Rule = (fn(&str) -> bool, Severity, &'static str);

const RULES: &[Rule] = &[
    (|code| code.contains("panic!("), Severity::High, "panics on purpose"),
    (|code| code.contains("todo!("), Severity::High, "is not written yet"),
    (|code| code.contains("unimplemented!("), Severity::High, "is not written yet"),
    (
        |code| code.contains(".unwrap()"),
        Severity::Medium,
        "may panic; an error could be returned instead",
    ),
    (
        |code| code.contains(".expect("),
        Severity::Medium,
        "may panic; an error could be returned instead",
    ),
    (indexes, Severity::Low, "an index out of bounds panics"),
];

/// The longest quotation of a line, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// Returns the findings about correctness.
pub fn findings(diff: &Diff) -> Vec<Finding> {
    let rust = diff.added().filter(|(file, _)| is_rust(&file.path));
    let spoken = rust.filter(|(file, line)| !line.in_tests && !is_silent(&file.path, &line.text));
    let found = spoken.flat_map(|(file, line)| {
        let code = without_strings(&line.text);
        let broken = RULES.iter().filter(move |(applies, ..)| applies(&code));
        broken.map(move |(_, severity, why)| {
            let message = format!("{why}: `{}`", quoted(line));
            Finding::new("correctness", *severity, file, line, &message)
        })
    });
    found.collect()
}

fn quoted(line: &Line) -> String {
    line.text.trim().chars().take(MAX_QUOTED_CHARS).collect()
}

/// Returns true if the code has an index, such as `name[…]` or `name()[…]`. Attributes (`#[…]`), `vec![…]`, array types
/// (`[u8; 4]`) and full slices (`name[..]`) do not count.
fn indexes(code: &str) -> bool {
    code.match_indices('[').any(|(at, _)| {
        let behind_value = code[..at].ends_with(|c: char| c.is_alphanumeric() || "_)]".contains(c));
        let inside = code[at + 1..].split(']').next().unwrap_or_default().trim();
        behind_value && !inside.is_empty() && inside != ".."
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::answer::review::tests::SMALL;

    #[test]
    fn reports_code_but_neither_comments_nor_tests() {
        let found: Vec<String> =
            findings(&Diff::parse(SMALL)).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "[correctness/medium] src/orders.rs:15: may panic; an error could be returned instead: `self.lines.get(article).copied().unwrap()`",
                "[correctness/low] src/orders.rs:23: an index out of bounds panics: `self.count(&articles[0])`",
            ]
        );
    }

    #[test]
    fn every_rule_finds_its_lines_and_ignores_strings() {
        let of = |code: &str| {
            let diff = format!("--- a/x.rs\n+++ b/x.rs\n@@ -0,0 +1 @@\n+{code}\n");
            findings(&Diff::parse(&diff)).iter().map(|found| found.severity).collect::<Vec<_>>()
        };
        assert_eq!(of("x.expect(\"why\");"), [Severity::Medium]);
        assert_eq!(of("panic!(\"no\");"), [Severity::High]);
        assert_eq!(of("todo!()"), [Severity::High]);
        assert_eq!(of("let b = &rows()[n + 1..];"), [Severity::Low]);
        for fine in [
            "say(\"a.unwrap()\")",
            "x.unwrap_or(1)",
            "#[derive(Debug)]",
            "vec![1]",
            "let x: [u8; 4];",
            "&x[..]",
        ] {
            assert_eq!(of(fine), [], "{fine}");
        }
    }
}
