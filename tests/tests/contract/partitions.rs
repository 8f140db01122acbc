//! A stack in AWS GovCloud (US) or another partition: its ARNs begin with another word, and its hosts may end with
//! another suffix.

use std::fs;
use std::path::{Path, PathBuf};

use crate::template::root;

/// Principals of services whose name has one suffix in every partition. CloudWatch Logs is not among them.
const PRINCIPALS: [&str; 8] =
    ["bedrock", "cloudwatch", "events", "lambda", "s3", "scheduler", "sns", "states"];

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found
}

/// The lines that count, with their place: no comments and no descriptions.
fn lines(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    // What follows in a Rust file are its tests.
    let text = text.split("#[cfg(test)]").next().unwrap();
    let counts = |line: &&str| {
        let line = line.trim_start();
        !["#", "//", "Description:"].iter().any(|begins| line.starts_with(begins))
    };
    let place = path.strip_prefix(root()).unwrap().display();
    text.lines().filter(counts).map(|line| (place.to_string(), line.to_owned())).collect()
}

fn templates() -> Vec<PathBuf> {
    let mut templates = files("infra", "yaml");
    templates.retain(|path| path.parent().unwrap().ends_with("infra"));
    assert!(templates.len() > 3, "{templates:?}");
    templates
}

/// Lists the sources of what runs on AWS. The tests' stand-ins name one account of the commercial regions.
fn sources() -> Vec<PathBuf> {
    let mut sources = ["crates", "functions", "cli"].map(|folder| files(folder, "rs")).concat();
    let is_test = |path: &PathBuf| {
        ["tests.rs", "fakes.rs"].iter().any(|name| path.ends_with(name))
            || ["tests", "benches"].iter().any(|folder| path.iter().any(|part| part == *folder))
    };
    sources.retain(|path| !is_test(path));
    sources
}

#[test]
fn no_partition_is_written_out() {
    for path in [templates(), files("statemachines", "json"), sources()].concat() {
        for (place, line) in lines(&path) {
            assert!(!line.contains("arn:aws"), "{place}: {line}");
        }
    }
}

#[test]
fn no_suffix_of_a_host_is_written_out() {
    for path in [templates(), files("statemachines", "json"), sources()].concat() {
        for (place, line) in lines(&path).into_iter().filter(|(_, it)| it.contains("amazonaws.com"))
        {
            if place == "crates/bcce-aws/src/sqs.rs" {
                // It is chosen by the partition of the queue's ARN.
                assert!(line.contains(r#"partition == "aws-cn""#), "{place}: {line}");
                continue;
            }
            let is_principal = line.contains("Service: ") || line.contains("iam:PassedToService: ");
            assert!(is_principal, "{place}: {line}");
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".-${}:".contains(c)));
            for word in words.filter(|word| word.contains("amazonaws.com")) {
                let is_known = PRINCIPALS.iter().any(|it| word == format!("{it}.amazonaws.com"));
                assert!(is_known, "{place}: {word} may have another suffix elsewhere");
            }
        }
    }
}
