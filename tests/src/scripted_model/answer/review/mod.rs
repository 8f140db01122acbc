//! Answers the steps of the workflow `code-review` by counting lines and searching for words.
//!
//! - [`diff`]: the files of a diff, their changed lines, and the functions that contain them
//! - [`source`]: the kind of a path or a line: code, comment, test
//! - [`summary`] and [`coverage`]: the changes, and whether tests are among them
//! - [`correctness`] and [`security`]: tables of rules
//! - [`finding`]: findings, as text that the `verdict` step can parse
//! - [`mod@verdict`]: the verdict, in the schema of the workflow

mod correctness;
mod coverage;
mod diff;
mod finding;
mod security;
mod source;
mod summary;
mod verdict;

use serde_json::Value;

use diff::Diff;
use finding::Finding;

/// Returns the answer to a step of the workflow, or `None` for an unknown step.
pub fn answer(step: &str, prompt: &str) -> Option<String> {
    let review: fn(&Diff) -> String = match step {
        "summarise" => summary::of,
        "correctness" => |diff| finding::report(diff, &correctness::findings(diff)),
        "security" => |diff| finding::report(diff, &security::findings(diff)),
        "tests" => coverage::of,
        "verdict" => return Some(verdict::sentence(&Finding::all_in(prompt))),
        _ => return None,
    };
    let diff = Diff::parse(prompt);
    if diff.files.is_empty() {
        return Some("There is no diff in the prompt.".to_owned());
    }
    Some(review(&diff))
}

/// Counts the findings that a review of a diff has.
pub fn count_findings(diff: &str) -> usize {
    let diff = Diff::parse(diff);
    correctness::findings(&diff).len() + security::findings(&diff).len()
}

/// Returns the verdict as JSON in the schema of the workflow.
///
/// # Errors
/// A sentence for the caller.
pub fn verdict(prompt: &str, schema: &Value) -> Result<Value, String> {
    verdict::json(&Finding::all_in(prompt), schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub const SMALL: &str = include_str!("small.diff");

    fn prompt() -> String {
        format!("Review this.\n<data-4e id=\"diff\">\n{SMALL}</data-4e>\nBe brief.")
    }

    #[test]
    fn every_step_of_the_workflow_reads_the_diff_out_of_the_prompt() {
        for (step, says) in [
            ("summarise", "5 files changed, 11 lines added, 4 removed"),
            ("correctness", "src/orders.rs:15: "),
            ("security", "settings.py:1: "),
            ("tests", "come with 1 line of tests"),
        ] {
            let answer = answer(step, &prompt()).unwrap();
            assert!(answer.contains(says), "{step}: {answer}");
        }
        assert_eq!(answer("poetry", &prompt()), None);
    }

    #[test]
    fn the_findings_of_a_diff_are_counted() {
        let reviews = ["correctness", "security"].map(|step| answer(step, &prompt()).unwrap());
        assert_eq!(count_findings(SMALL), Finding::all_in(&reviews.join("\n")).len());
        assert_eq!(count_findings("no diff"), 0);
    }

    #[test]
    fn a_missing_diff_is_reported() {
        assert_eq!(answer("security", "hello").unwrap(), "There is no diff in the prompt.");
    }

    #[test]
    fn the_verdict_reads_the_reports_of_the_reviewers() {
        let reviews = ["correctness", "security"].map(|step| answer(step, &prompt()).unwrap());
        let verdict = answer("verdict", &reviews.join("\n")).unwrap();
        assert!(verdict.contains("3 high, 2 medium, 1 low"), "{verdict}\n{reviews:?}");
    }
}
