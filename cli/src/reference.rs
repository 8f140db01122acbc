//! Tests the manual of the whole command line: docs/reference, man pages, completions and the fields of JSON.

use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::arguments::Cli;
use crate::manual::{Format, commands, left_over, pages, write};

/// The commands without `--json`, each with the reason.
const WITHOUT_JSON: [(&str, &str); 7] = [
    ("batch report", "writes a page; `bcce batch status --json` has its counts and sums"),
    ("batch results", "prints JSON lines"),
    ("batch outputs", "prints JSON lines"),
    ("key", "prints PEM"),
    ("completions", "prints a script"),
    ("man", "prints a page"),
    ("runs report", "writes a page; `bcce runs explain --json` prints what it shows"),
];

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference")
}

#[test]
fn the_reference_is_that_of_the_commands() {
    let pages = pages(Cli::command(), Format::Markdown);
    let mut wrong = left_over(&reference(), &pages, Format::Markdown).unwrap();
    for (file, text) in &pages {
        if std::fs::read_to_string(reference().join(file)).ok().as_ref() != Some(text) {
            wrong.push(file.clone());
        }
    }
    assert!(wrong.is_empty(), "`make reference` writes docs/reference, which differs: {wrong:?}");
}

#[test]
fn pages_of_commands_that_are_gone_are_deleted_and_other_files_are_kept() {
    let dir = std::env::temp_dir().join(format!("bcce-manual-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for file in ["bcce-gone.1", "gone.md", "notes.txt"] {
        std::fs::write(dir.join(file), "").unwrap();
    }
    write(&dir, &pages(Cli::command(), Format::Man), Format::Man).unwrap();
    let has = |file: &str| dir.join(file).exists();
    assert!(has("bcce.1") && has("bcce-runs.1") && has("bcce-runs-list.1"));
    assert!(!has("bcce-gone.1") && has("gone.md") && has("notes.txt"));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn every_command_documents_its_json_or_says_why_it_has_none() {
    let mut root = Cli::command();
    root.build();
    let mut exempt: Vec<&str> = WITHOUT_JSON.map(|(name, _)| name).to_vec();
    for (path, command) in commands(&root) {
        if command.has_subcommands() {
            continue;
        }
        let name = path.join(" ");
        let has_json = command.get_arguments().any(|arg| arg.get_long() == Some("json"));
        let is_exempt = exempt.contains(&name.as_str());
        exempt.retain(|exempt| *exempt != name);
        assert!(
            has_json != is_exempt,
            "{name}: needs --json or a line in WITHOUT_JSON, and not both"
        );
        let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
        let is_documented = help.contains(crate::json::TITLE);
        assert!(is_documented || !has_json, "{name}: its help does not document the JSON fields");
    }
    assert!(exempt.is_empty(), "there are no such commands: {exempt:?}");
}

#[test]
fn each_shell_completes_commands_and_options() {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = crate::cmd::completions::script(shell, Cli::command());
        let script = String::from_utf8(script).unwrap();
        for word in ["reconcile", "dry-run", "redrive", "completions"] {
            assert!(script.contains(word), "{word} is missing for {shell}");
        }
    }
}

#[test]
fn the_fields_of_records_are_documented() {
    use crate::json::{records, undocumented};
    use bcce_core::{batch::BatchStatus, run::notification::RunStatus};
    let mut run = crate::run::samples::record(1, RunStatus::Failed).unwrap();
    run.truncated = 1;
    run.tags = [("team".to_owned(), "a".to_owned())].into();
    let run = serde_json::to_value(run).unwrap();
    assert_eq!(undocumented(&run, &[&records::RUN]), [""; 0]);
    let batch = crate::batch::samples::record(1, BatchStatus::Failed);
    let batch = serde_json::to_value(batch).unwrap();
    assert_eq!(undocumented(&batch, &[&records::BATCH]), [""; 0]);
}
