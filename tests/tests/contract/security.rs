//! Checks that the tests which the page on security names exist.

use std::collections::BTreeSet;

use crate::template::{read, root};

/// Returns each text between backticks in a line of Markdown.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Each promise on the page names at least one test, and each named test is in its file.
#[test]
fn every_promise_names_a_test_that_is_there() {
    let page = read("docs/security.md");
    let promises = page.split("\n## ").find(|part| part.starts_with("What is promised")).unwrap();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| promise ");
    let rows: Vec<&str> = promises.lines().filter(is_row).collect();
    assert!(rows.len() > 20, "only {} promises are listed", rows.len());
    let mut seen = BTreeSet::new();
    for row in rows {
        let tests: Vec<&str> = quoted(row).filter(|text| text.contains("::")).collect();
        assert!(!tests.is_empty(), "no test shows this promise: {row}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            assert!(root().join(file).exists(), "{test}: there is no file {file}");
            let keyword = if file.ends_with(".py") { "def" } else { "fn" };
            let is_there = read(file).contains(&format!("{keyword} {name}("));
            assert!(is_there, "{test}: there is no such test in {file}");
            seen.insert(test.to_owned());
        }
    }
    assert!(seen.len() > 20, "only {} tests are named", seen.len());
}
