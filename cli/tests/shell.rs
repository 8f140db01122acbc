//! Tests the command as a process: completions, help, closed pipes and narrow terminals. Nothing needs AWS.

use std::process::{Command, Output, Stdio};

/// The longest option in the help of `bcce submit`, and the indent before it, are wider than a column of text.
const NARROW: usize = 40;
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/config/dev");

fn bcce(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcce"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_a_command() {
    let script = text(bcce(&["completions", "bash"]).output().unwrap());
    let ask =
        "\nCOMP_WORDS=(bcce runs ver) COMP_CWORD=2; _bcce bcce ver runs; echo \"${COMPREPLY[@]}\"";
    let answer = Command::new("bash").args(["-c", &(script + ask)]).output().unwrap();
    assert_eq!(text(answer), "verify\n");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_command_silently() {
    for args in [
        &["--help"][..],
        &["help", "runs"],
        &["runs", "list", "--help"],
        &["completions", "zsh"],
        &["man"],
        &["config", "validate", CONFIGURATION],
        &["config", "validate", CONFIGURATION, "--json"],
        &["workflows", "list", "--dir", CONFIGURATION],
        &["workflows", "graph", "code-review", "--dir", CONFIGURATION, "--format", "svg"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = bcce(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 141)) && errors.is_empty(), "{args:?}: {code:?} {errors}");
    }
}

#[test]
fn help_fits_a_narrow_terminal() {
    for args in [&["help"][..], &["submit", "--help"], &["runs", "list", "--help"]] {
        let help = text(bcce(args).env("COLUMNS", NARROW.to_string()).output().unwrap());
        for line in help.lines().filter(|line| line.chars().count() > NARROW) {
            // Only one word, or an option with its value, may be wider.
            assert!(line.split_whitespace().count() <= 3, "{args:?}: {line}");
        }
    }
}

#[test]
fn a_configuration_is_checked_without_aws_and_printed_as_json() {
    let printed = text(bcce(&["config", "validate", CONFIGURATION, "--json"]).output().unwrap());
    assert!(printed.contains("\"models.yaml\"") && printed.contains("\"warnings\""), "{printed}");
}

#[test]
fn a_page_is_printed_and_an_unknown_one_is_invalid_usage() {
    let page = text(bcce(&["man", "runs", "list"]).output().unwrap());
    assert!(page.contains(".SH \"JSON FIELDS\"") && page.contains(".SH \"EXIT CODES\""), "{page}");
    assert_eq!(bcce(&["man", "runs", "lost"]).output().unwrap().status.code(), Some(2));
}
