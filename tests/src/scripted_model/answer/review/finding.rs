//! Findings of a reviewer, formatted as lines of text that the `verdict` step can parse.

use std::fmt;

use super::diff::{Diff, File, Line};
use super::summary::count;

/// The largest number of findings in a report. The report counts the others.
const MAX_REPORTED: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Low,
    Medium,
    High,
}

const AREAS: [&str; 3] = ["correctness", "security", "tests"];
const SEVERITIES: [(Severity, &str); 3] =
    [(Severity::Low, "low"), (Severity::Medium, "medium"), (Severity::High, "high")];

impl Severity {
    pub fn name(self) -> &'static str {
        SEVERITIES[self as usize].1
    }
}

#[derive(Debug, PartialEq)]
pub struct Finding {
    /// The reviewer that reported it.
    pub area: &'static str,
    pub severity: Severity,
    pub path: String,
    pub line: usize,
    pub message: String,
}

/// Formats a finding as `[security/high] src/a.rs:12: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (area, severity) = (self.area, self.severity.name());
        write!(f, "[{area}/{severity}] {}:{}: {}", self.path, self.line, self.message)
    }
}

impl Finding {
    pub fn new(
        area: &'static str,
        severity: Severity,
        file: &File,
        line: &Line,
        message: &str,
    ) -> Self {
        let (path, message) = (file.path.clone(), message.to_owned());
        Self { area, severity, path, line: line.number, message }
    }

    /// Parses all findings in a text. Each is on its own line, also inside a JSON string.
    pub fn all_in(text: &str) -> Vec<Self> {
        text.replace("\\n", "\n").lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let (label, rest) = line.strip_prefix("- [")?.split_once("] ")?;
        let rest = without_closing_tag(rest);
        let (area, severity) = label.split_once('/')?;
        let (place, message) = rest.split_once(": ")?;
        let (path, line) = place.rsplit_once(':')?;
        Some(Self {
            area: AREAS.into_iter().find(|known| *known == area)?,
            severity: SEVERITIES.iter().find(|(_, name)| *name == severity)?.0,
            path: path.to_owned(),
            line: line.parse().ok()?,
            message: message.to_owned(),
        })
    }
}

/// Returns a line without the closing delimiter of an input, which may directly follow the last line of a report.
fn without_closing_tag(line: &str) -> &str {
    let tag = line.rfind("</data").filter(|at| line[*at..].find('>') == Some(line.len() - at - 1));
    tag.map_or(line, |at| &line[..at])
}

/// Returns the findings as a text, ordered by severity (the highest first) and then in the order of the diff.
pub fn report(diff: &Diff, findings: &[Finding]) -> String {
    if findings.is_empty() {
        let lines = count(diff.added().count(), "added line");
        return format!("Nothing found in {lines}.");
    }
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut text = format!("{}:\n\n", count(findings.len(), "finding"));
    for finding in sorted.iter().take(MAX_REPORTED) {
        text += &format!("- {finding}\n");
    }
    if let Some(more) = findings.len().checked_sub(MAX_REPORTED + 1) {
        text += &format!("\nand {} more.\n", more + 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, line: usize) -> Finding {
        let (path, message) = ("a b/c:d.rs".into(), "x: y".into());
        Finding { area: "security", severity, path, line, message }
    }

    #[test]
    fn a_report_is_read_back_with_the_highest_severity_first() {
        let findings = [finding(Severity::Low, 9), finding(Severity::High, 2)];
        let text = report(&Diff::default(), &findings);
        assert!(
            text.starts_with("2 findings:\n\n- [security/high] a b/c:d.rs:2: x: y\n"),
            "{text}"
        );
        let [low, high] = findings;
        assert_eq!(Finding::all_in(&text), [high, low]);
    }

    #[test]
    fn a_report_inside_a_json_string_is_read_too() {
        let text = report(&Diff::default(), &[finding(Severity::Medium, 3)]);
        let json = serde_json::json!({ "text": text }).to_string();
        assert_eq!(Finding::all_in(&json)[0].line, 3);
    }

    #[test]
    fn the_delimiter_after_the_last_finding_is_not_part_of_it() {
        let found =
            Finding::all_in("- [tests/low] a:1: b `x </data>`\n- [tests/low] a:2: c</data-2>");
        let messages: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(messages, ["b `x </data>`", "c"]);
    }

    #[test]
    fn a_long_report_is_cut_and_counts_the_rest() {
        let findings: Vec<_> = (0..=MAX_REPORTED).map(|n| finding(Severity::Low, n)).collect();
        let text = report(&Diff::default(), &findings);
        assert_eq!(Finding::all_in(&text).len(), MAX_REPORTED);
        assert!(text.ends_with("and 1 more.\n"));
    }

    #[test]
    fn other_lists_are_no_findings() {
        for line in
            ["- [x] done: yes", "- [security/odd] a:1: b", "- [security/high] a: b", "- plain"]
        {
            assert_eq!(Finding::all_in(line), [], "{line}");
        }
    }
}
