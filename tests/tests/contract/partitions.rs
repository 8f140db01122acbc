//! Checks that the stack can run in another partition, such as AWS GovCloud (US). ARNs there have another prefix, and
//! host names may have another suffix.

use std::fs;
use std::path::{Path, PathBuf};

use crate::template::root;

/// The services whose principal has the same suffix in every partition. CloudWatch Logs is not one of them.
const PRINCIPALS: [&str; 8] =
    ["bedrock", "cloudwatch", "events", "lambda", "s3", "scheduler", "sns", "states"];

/// Returns the files below a folder with an extension.
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

/// Returns the lines of a file that are not comments or descriptions, each with the file's path.
fn lines(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    // The rest of a Rust file is its tests.
    let text = text.split("#[cfg(test)]").next().unwrap();
    let counts = |line: &&str| {
        let line = line.trim_start();
        !["#", "//", "Description:"].iter().any(|begins| line.starts_with(begins))
    };
    let place = path.strip_prefix(root()).unwrap().display();
    text.lines().filter(counts).map(|line| (place.to_string(), line.to_owned())).collect()
}

/// Returns the templates in infra/.
fn templates() -> Vec<PathBuf> {
    let mut templates = files("infra", "yaml");
    templates.retain(|path| path.parent().unwrap().ends_with("infra"));
    assert!(templates.len() > 3, "{templates:?}");
    templates
}

/// Returns the Rust sources without tests and fakes, whose ARNs may name the commercial partition.
fn sources() -> Vec<PathBuf> {
    let mut sources = ["crates", "functions", "cli"].map(|folder| files(folder, "rs")).concat();
    let is_test = |path: &PathBuf| {
        ["tests.rs", "fakes.rs"].iter().any(|name| path.ends_with(name))
            || ["tests", "benches"].iter().any(|folder| path.iter().any(|part| part == *folder))
    };
    sources.retain(|path| !is_test(path));
    sources
}

/// No template, state machine or source has an ARN of a fixed partition.
#[test]
fn no_partition_is_written_out() {
    for path in [templates(), files("statemachines", "json"), sources()].concat() {
        for (place, line) in lines(&path) {
            assert!(!line.contains("arn:aws"), "{place}: {line}");
        }
    }
}

/// `amazonaws.com` is only used for principals that have it in every partition.
#[test]
fn no_suffix_of_a_host_is_written_out() {
    for path in [templates(), files("statemachines", "json"), sources()].concat() {
        for (place, line) in lines(&path).into_iter().filter(|(_, it)| it.contains("amazonaws.com"))
        {
            if place == "crates/bcce-aws/src/sqs.rs" {
                // The suffix is chosen by the partition of the queue's ARN.
                assert!(line.contains(r#"partition == "aws-cn""#), "{place}: {line}");
                continue;
            }
            if place == "crates/bcce-aws/src/signed.rs" {
                // The suffix is chosen by the region, which shows the partition.
                assert!(line.contains(r#"region.starts_with("cn-")"#), "{place}: {line}");
                continue;
            }
            let keys = ["Service: ", "iam:PassedToService: ", "Principal: "];
            let is_principal = keys.iter().any(|key| line.contains(key));
            assert!(is_principal, "{place}: {line}");
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".-${}:".contains(c)));
            for word in words.filter(|word| word.contains("amazonaws.com")) {
                let is_known = PRINCIPALS.iter().any(|it| word == format!("{it}.amazonaws.com"));
                assert!(is_known, "{place}: {word} may have another suffix in other partitions");
            }
        }
    }
}
