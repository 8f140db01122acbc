use bcce_core::fakes::now;
use clap::Parser;
use serde_json::Value;

use super::{graph, list, show};
use crate::arguments::{Cli, Verb, Workflows};
use crate::exit::{Exit, Outcome};
use crate::world::World;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/config/dev");

/// Runs a command on the directory of this repository and returns what it prints.
fn printed(args: &[&str]) -> Outcome<String> {
    let args = ["bcce", "workflows"].iter().chain(args).chain(&["--dir", DIRECTORY]);
    let Verb::Workflows(verb) = Cli::try_parse_from(args).unwrap().verb else {
        panic!("another command")
    };
    let world = World { environment: "dev".into(), terminal: false, color: false };
    let mut out = Vec::new();
    let exit = match verb {
        Workflows::List(args) => now(list::run(args, &world, &mut out))?,
        Workflows::Show(args) => now(show::run(args, &world, &mut out))?,
        Workflows::Graph(args) => now(graph::run(args, &world, &mut out))?,
    };
    assert_eq!(exit, Exit::Done);
    Ok(String::from_utf8(out).unwrap())
}

fn parsed(args: &[&str]) -> Value {
    serde_json::from_str(&printed(args).unwrap()).unwrap()
}

#[test]
fn workflows_are_listed_and_shown_as_text_and_as_json() {
    let listed = printed(&["list"]).unwrap();
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.contains("\ncode-review  ") && listed.contains("  haiku, sonnet  "), "{listed}");
    assert_eq!(parsed(&["list", "--json"])["workflows"][1]["steps"], 5);
    let shown = printed(&["show", "code-review"]).unwrap();
    assert!(shown.starts_with("code-review\nReviews a diff for correctness"), "{shown}");
    assert_eq!(parsed(&["show", "code-review", "--json"])["steps"][4]["wave"], 3);
}

#[test]
fn a_workflow_is_drawn_to_standard_output_or_to_a_file() {
    let text = printed(&["graph", "code-review"]).unwrap();
    assert!(text.starts_with("flowchart TD\n"), "{text}");
    assert_eq!(printed(&["graph", "code-review", "--format", "mermaid"]).unwrap(), text);
    let svg = printed(&["graph", "code-review", "--format", "svg"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("review.svg").display().to_string();
    let said = printed(&["graph", "code-review", "--format", "svg", "--output", &file]).unwrap();
    assert_eq!((said.as_str(), std::fs::read_to_string(&file).unwrap()), ("", svg));
    let drawn = parsed(&["graph", "code-review", "--json"]);
    assert_eq!(drawn["nodes"].as_array().map(Vec::len), Some(5));
}

#[test]
fn an_unknown_workflow_and_an_unknown_directory_are_invalid_usage() {
    for args in [&["show", "reveiw"][..], &["graph", "reveiw"]] {
        let failure = printed(args).unwrap_err();
        assert!(failure.what.starts_with("there is no workflow reveiw in "), "{failure:?}");
        assert_eq!(failure.exit, Exit::Usage);
    }
    for wrong in [&["graph", "w", "--json", "--format", "svg"][..], &["show", "a/b"]] {
        let args = ["bcce", "workflows"].iter().chain(wrong);
        assert!(Cli::try_parse_from(args).is_err(), "{wrong:?}");
    }
}
