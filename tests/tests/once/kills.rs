//! Functions of this stack that are killed while they work, as if their hosts had ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::seed::Seed;
use crate::stack::output;

/// What everything of one session of the local stack carries in its environment: other stacks run on the same
/// machine. See `infra/local/sessions.py`.
const SESSION: &str = "BCCE_LOCAL_SESSION";

/// Kills functions at random until `enough`, `most` times at the most.
pub async fn at_random(seed: &mut Seed, functions: &[&str], most: usize, enough: &AtomicBool) {
    for _ in 0..most {
        tokio::time::sleep(Duration::from_millis(seed.between(100, 900) as u64)).await;
        if enough.load(Ordering::Relaxed) {
            return;
        }
        let running = processes(seed.pick(functions));
        if !running.is_empty() {
            // It may have ended by itself.
            let _ = Command::new("kill")
                .args(["-9", &running[seed.between(0, running.len() - 1)]])
                .status();
        }
    }
}

/// How often a function of this stack was killed while it worked on something, by the emulator's log.
pub fn hits() -> BTreeMap<String, usize> {
    let log = PathBuf::from(output("LOCAL_LOGS")).join("emulator.log");
    let log = std::fs::read_to_string(log).unwrap();
    let mut hits = BTreeMap::new();
    let prefix = format!("Lambda {}-", output("BCCE_STACK"));
    for line in log.lines().filter(|line| line.contains(": Runtime exited before")) {
        let function = line.split(&prefix).nth(1).and_then(|rest| rest.split(':').next());
        *hits.entry(function.unwrap_or("another").to_owned()).or_default() += 1;
    }
    hits
}

/// The ids of the processes of a function.
fn processes(function: &str) -> Vec<String> {
    let ours = [
        format!("{SESSION}={}", output(SESSION)),
        format!("AWS_LAMBDA_FUNCTION_NAME={}-{function}", output("BCCE_STACK")),
    ];
    let is_ours = |id: &String| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let has = |entry: &String| environment.split(|b| *b == 0).any(|e| e == entry.as_bytes());
        ours.iter().all(has)
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut ids: Vec<String> =
        names.filter(|name| name.parse::<u32>().is_ok()).filter(is_ours).collect();
    ids.sort();
    ids
}
