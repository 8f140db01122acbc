//! The steps of the workflow `code-review`, by counting and by looking for words.
//!
//! - [`diff`]: files, changed lines, the functions they are in
//! - [`source`]: what a line and a path look like: code, comment, test
//! - [`summary`] and [`coverage`]: what changed, and whether tests did
//! - [`correctness`] and [`security`]: a rule per line of a table
//! - [`finding`]: what the reviewers say, as text that the verdict can read again
//! - [`verdict`]: findings to whatever schema the workflow asks for

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

/// What a step of the review says; `None` for a step it does not know.
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

/// The verdict as JSON by the workflow's schema. The error is a sentence for the caller.
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
    fn without_a_diff_it_says_so() {
        assert_eq!(answer("security", "hello").unwrap(), "There is no diff in the prompt.");
    }

    #[test]
    fn the_verdict_reads_what_the_reviewers_wrote() {
        let reviews = ["correctness", "security"].map(|step| answer(step, &prompt()).unwrap());
        let verdict = answer("verdict", &reviews.join("\n")).unwrap();
        assert!(verdict.contains("3 high, 2 medium, 1 low"), "{verdict}\n{reviews:?}");
    }
}
