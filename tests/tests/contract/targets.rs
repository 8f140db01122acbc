//! Checks that each target of the Makefile that the documentation names runs on GitHub: with every change, as a part of
//! `make test`, or at night.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::template::{read, root};

/// The targets that need an account of AWS.
const NEED_AWS: [&str; 3] = ["deploy", "tenant", "observe"];

/// Returns the targets of the Makefile with those that each depends on.
fn targets() -> BTreeMap<String, BTreeSet<String>> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(is_of_a_name);
    let mut targets = BTreeMap::new();
    for line in read("Makefile").lines().filter(|line| !line.starts_with(['\t', '#', ' ', '.'])) {
        let Some((name, rest)) = line.split_once(':').filter(|(name, _)| is_name(name)) else {
            continue;
        };
        let needed = rest.split('#').next().unwrap_or_default().split_whitespace();
        targets.insert(name.to_owned(), needed.map(str::to_owned).collect());
    }
    targets
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_lowercase() || c == '-'
}

/// Returns the words that follow `make ` in a text.
fn made(text: &str) -> BTreeSet<String> {
    let after = text.split("make ").skip(1);
    let word = |rest: &str| rest.split(|c| !is_of_a_name(c)).next().map(str::to_owned);
    after.filter_map(word).collect()
}

/// Returns the text of all files of a folder whose names end with `end`.
fn texts(folder: &str, end: &str) -> String {
    let files = fs::read_dir(root().join(folder)).unwrap().map(|file| file.unwrap().path());
    let wanted = files.filter(|path| path.to_string_lossy().ends_with(end));
    wanted.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn each_target_that_the_docs_name_runs_on_github() {
    let targets = targets();
    let docs = [read("README.md"), read("CONTRIBUTING.md"), texts("docs", ".md")].concat();
    let mut run: BTreeSet<String> = NEED_AWS.map(str::to_owned).into();
    let mut due: Vec<String> = made(&texts(".github/workflows", ".yml")).into_iter().collect();
    while let Some(target) = due.pop() {
        if run.insert(target.clone()) {
            due.extend(targets.get(&target).into_iter().flatten().cloned());
        }
    }
    // `check` is a part of what `test` runs.
    run.insert("check".into());
    // A unit test compares the files that `reference` writes.
    run.insert("reference".into());
    let named: BTreeSet<String> =
        made(&docs).into_iter().filter(|name| targets.contains_key(name)).collect();
    assert!(named.contains("test") && named.len() > 10, "{named:?}");
    let missing: BTreeSet<&String> = named.difference(&run).collect();
    assert!(missing.is_empty(), "no workflow runs {missing:?}");
}
