//! What a person sees of a run whose texts try to steer the terminal.
//!
//! Errors of clap and panics bypass the writer that this is about. They quote nothing but the caller's own arguments.

use std::path::Path;
use std::process::Command;

use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{Layout, RunRef, Stack, fresh, model};
use serde_json::json;

/// Sets the title, clears the screen by C0 and by C1, turns the direction of what follows, rings, and begins a line.
const ATTACK: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}35m\u{202e}\u{2066}\n✓ verified: forged";
/// What is left of it where it is shown.
const REMNANT: &str = "]0;owned";
/// What no line of a table begins with.
const FORGED: &str = "✓ verified: forged";

/// Calls a program whose outputs are a terminal, and prints what that terminal received.
const IN_A_TERMINAL: &str = r"
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
os.close(theirs)
while True:
    try:
        received = os.read(ours, 65536)
    except OSError:
        break
    if not received:
        break
    sys.stdout.buffer.write(received)
sys.exit(process.wait())
";

/// Exit code and what a terminal receives.
fn seen(args: &[&str]) -> (i32, String) {
    let mut python = Command::new(Path::new(ROOT).join(".venv/bin/python"));
    let bcce = Path::new(ROOT).join("target/debug/bcce");
    python.args(["-c", IN_A_TERMINAL]).arg(bcce).args(["--env", "dev"]).args(args);
    let done = python.env("TERM", "xterm").env("COLUMNS", "200").output().unwrap();
    assert!(done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
    (done.status.code().unwrap(), String::from_utf8(done.stdout).unwrap())
}

/// Without line ends, the colours that this command has, and the movements by which `follow` draws anew.
fn without_ours(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n");
    for ours in ["0m", "1m", "2m", "31m", "32m", "33m", "G", "2K", "J"] {
        text = text.replace(&format!("\u{1b}[{ours}"), "");
    }
    for up in 1..60 {
        text = text.replace(&format!("\u{1b}[{up}A"), "");
    }
    text
}

fn steers(text: &str) -> Option<char> {
    let bidirectional = ['\u{202e}', '\u{2066}'];
    let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().find(|c| is_control(*c) || bidirectional.contains(c))
}

#[tokio::test]
async fn no_text_of_a_model_or_a_sender_steers_the_terminal() {
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
    // The caller's own argument may have lines.
    let missing = format!("{}{id}-missing", ATTACK.lines().next().unwrap());
    // Each with what it shows, so that it is known to have shown the text.
    let table: [(&[&str], i32, &[&str]); 9] = [
        (&["runs", "show", run_id], 0, &[run_id, REMNANT]),
        (&["runs", "output", run_id], 0, &[&id, REMNANT]),
        (&["runs", "explain", run_id], 0, &[run_id, REMNANT]),
        (&["runs", "follow", run_id], 0, &[run_id]),
        (&["runs", "list", "--limit", "1000"], 0, &[run_id]),
        (&["runs", "verify", run_id], 0, &[run_id]),
        (&["batch", "list"], 0, &[]),
        (&["dlq", "list"], 0, &[]),
        // An error quotes what was asked for.
        (&["config", "validate", &missing], 2, &[&id, REMNANT]),
    ];
    for (args, code, shown) in table {
        let (is, received) = seen(args);
        assert_eq!(is, code, "{args:?}: {received}");
        for part in shown {
            assert!(received.contains(part), "{args:?} does not show {part}: {received}");
        }
        let rest = without_ours(&received);
        assert_eq!(steers(&rest), None, "{args:?}: {rest:?}");
        let is_text = args[1] == "output";
        let is_forged = rest.lines().any(|line| line.trim_start().starts_with(FORGED));
        assert!(is_text || !is_forged, "{args:?}: {rest}");
    }
    // A pipe gets the model's words as they are.
    let (code, piped) = bcce("dev", &["runs", "output", run_id]);
    assert_eq!(code, 0, "{piped}");
    assert!(piped.contains(&format!("{ATTACK}{id}")), "{piped:?}");
}
