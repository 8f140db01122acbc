//! Reports whether a change of code also changes tests.

use super::diff::{Diff, File, Line};
use super::finding::{Finding, Severity, report};
use super::source::{is_code, is_silent};
use super::summary::count;

/// Returns the report about tests.
pub fn of(diff: &Diff) -> String {
    let code: Vec<_> = diff.added().filter(|(file, line)| is_code_line(file, line)).collect();
    let (tests, production): (Vec<_>, Vec<_>) =
        code.into_iter().partition(|(_, line)| line.in_tests);
    let lines = count(production.len(), "line");
    match (production.first(), tests.len()) {
        (None, _) => "Nothing found: no lines of production code were added.".to_owned(),
        (Some((file, line)), 0) => {
            let finding = Finding {
                area: "tests",
                severity: Severity::Medium,
                path: file.path.clone(),
                line: line.number,
                message: format!("{lines} of production code added without a line of tests"),
            };
            report(diff, &[finding])
        }
        (Some(_), tests) => {
            let tests = count(tests, "line");
            format!("Nothing found: {lines} of production code come with {tests} of tests.")
        }
    }
}

fn is_code_line(file: &File, line: &Line) -> bool {
    is_code(&file.path) && !is_silent(&file.path, &line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::answer::review::tests::SMALL;

    #[test]
    fn lines_of_code_and_lines_of_tests_are_counted() {
        // The comment, the blank line and the YAML file are not counted.
        let says = "Nothing found: 7 lines of production code come with 1 line of tests.";
        assert_eq!(of(&Diff::parse(SMALL)), says);
    }

    #[test]
    fn code_without_tests_is_a_finding_at_its_first_line() {
        let untested =
            SMALL.replace("+        assert_eq!(orders.lines", "+        // (orders.lines");
        let says = of(&Diff::parse(&untested));
        assert!(says.contains("[tests/medium] release.sh:5: 7 lines"), "{says}");
    }

    #[test]
    fn a_change_of_prose_needs_no_tests() {
        let says = of(&Diff::parse("--- a/x.md\n+++ b/x.md\n@@ -1 +1 @@\n-a\n+b\n"));
        assert!(says.starts_with("Nothing found: no lines of production code"));
    }
}
