//! The output of `bcce` for a run whose texts contain terminal control sequences.
//!
//! The errors of clap and panics do not pass through the tested writer. They quote only the caller's own arguments.

use std::path::Path;
use std::process::Command;

use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::json;

/// Sets the title, clears the screen with C0 and C1 codes, reverses the direction of text, sends a bell, and begins a
/// line.
const ATTACK: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}35m\u{202e}\u{2066}\n✓ verified: forged";
/// The part of [`ATTACK`] that is left in an output that shows it.
const REMNANT: &str = "]0;owned";
/// A text that no line of a table may begin with.
const FORGED: &str = "✓ verified: forged";

/// A Python program that runs a command in a terminal and prints what the terminal received.
const IN_A_TERMINAL: &str = r"
import os, pty, subprocess, sys
terminal, stream = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
os.close(stream)
while True:
    try:
        received = os.read(terminal, 65536)
    except OSError:
        break
    if not received:
        break
    sys.stdout.buffer.write(received)
sys.exit(process.wait())
";

/// Returns the exit code of `bcce` and what its terminal received.
fn seen(args: &[&str]) -> (i32, String) {
    let mut python = Command::new(Path::new(ROOT).join(".venv/bin/python"));
    let bcce = Path::new(ROOT).join("target/debug/bcce");
    python.args(["-c", IN_A_TERMINAL]).arg(bcce).args(["--env", "dev"]).args(args);
    let done = python.env("TERM", "xterm").env("COLUMNS", "200").output().unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

/// Removes the sequences that `bcce` itself sends: line ends, colors, and the movements with which `follow` redraws.
fn without_own_sequences(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n");
    for sequence in ["0m", "1m", "2m", "31m", "32m", "33m", "G", "2K", "J"] {
        text = text.replace(&format!("\u{1b}[{sequence}"), "");
    }
    for up in 1..60 {
        text = text.replace(&format!("\u{1b}[{up}A"), "");
    }
    text
}

/// Returns the first character of a text that controls a terminal.
fn steers(text: &str) -> Option<char> {
    let bidirectional = ['\u{202e}', '\u{2066}'];
    let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().find(|c| is_control(*c) || bidirectional.contains(c))
}

/// No text of an id, a tag, a model or an error controls the terminal that a command writes to, or starts a line of a
/// table. A pipe gets the answer of the model unchanged.
#[tokio::test]
async fn no_text_of_a_model_or_a_sender_controls_the_terminal() {
    let stack = Stack::connect().await;
    let id = fresh("terminal");
    let hostile_id = format!("{ATTACK}{id}");
    let run = RunRef::first("default", "explain", &hostile_id);
    let written = ATTACK.replace('\n', "\\n");
    let text = format!(
        "@model us-east-1: says-no({written})\n@model says: {written}{id}\nA breaker opens on evidence."
    );
    let request = json!({
        "workflow": "explain", "id": hostile_id, "model": model(Layout::Two),
        "inputs": { "text": text }, "tags": { "team": format!("{ATTACK}red") },
    });
    stack.send(&request.to_string()).await;
    let manifest = stack.manifest(&run).await;
    assert_eq!(manifest["status"], "SUCCEEDED", "{manifest}");

    let run_id = run.run_id.as_str();
    // Only the first line of the attack is used, since the caller's own argument may have line breaks.
    let missing = format!("{}{id}-missing", ATTACK.lines().next().unwrap());
    // Each command has texts that its output must have. Otherwise the attack may not have been shown at all.
    let table: [(&[&str], i32, &[&str]); 9] = [
        (&["runs", "show", run_id], 0, &[run_id, REMNANT]),
        (&["runs", "output", run_id], 0, &[&id, REMNANT]),
        (&["runs", "explain", run_id], 0, &[run_id, REMNANT]),
        (&["runs", "follow", run_id], 0, &[run_id]),
        (&["runs", "list", "--limit", "1000"], 0, &[run_id]),
        (&["runs", "verify", run_id], 0, &[run_id]),
        (&["batch", "list"], 0, &[]),
        (&["dlq", "list"], 0, &[]),
        // The error quotes the argument.
        (&["config", "validate", &missing], 2, &[&id, REMNANT]),
    ];
    for (args, code, shown) in table {
        let (is, received) = seen(args);
        assert_eq!(is, code, "{args:?}: {received}");
        for part in shown {
            assert!(received.contains(part), "{args:?} does not show {part}: {received}");
        }
        let rest = without_own_sequences(&received);
        assert_eq!(steers(&rest), None, "{args:?}: {rest:?}");
        let is_text = args[1] == "output";
        let is_forged = rest.lines().any(|line| line.trim_start().starts_with(FORGED));
        assert!(is_text || !is_forged, "{args:?}: {rest}");
    }
    // A pipe gets the model's answer unchanged.
    let (code, piped) = bcce("dev", &["runs", "output", run_id]);
    assert_eq!(code, 0, "{piped}");
    assert!(piped.contains(&format!("{ATTACK}{id}")), "{piped:?}");
}
