//! Kills functions of this stack while they work, as if their hosts had ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::seed::Seed;
use super::stack::output;

/// The environment variable that all processes of one local stack have. Other stacks may run on the same machine. See
/// `infra/local/sessions.py`.
const SESSION: &str = "BCCE_LOCAL_SESSION";

/// A function that was killed at work less often than this is chosen first.
const FEW: usize = 2;
/// The most kills of a function that was killed at work often enough, since each kill repeats its work.
const MOST: usize = 10;
/// The number of processes of a function that are likely to be at work.
const BUSY: usize = 3;

/// Kills functions at random, at most `most` times, until `enough` is true.
pub async fn at_random(seed: &mut Seed, functions: &[&str], most: usize, enough: &AtomicBool) {
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..most {
        tokio::time::sleep(Duration::from_millis(seed.between(200, 900) as u64)).await;
        if enough.load(Ordering::Relaxed) {
            return;
        }
        // Some functions work for a moment only and are rarely killed at work.
        let hits = hits(&emulator_log());
        let few = |function: &&str| hits.get(*function).is_none_or(|hits| *hits < FEW);
        let left = |function: &&str| tried.get(*function).is_none_or(|tried| *tried < MOST);
        let due: Vec<&str> = functions.iter().copied().filter(few).collect();
        let others: Vec<&str> = functions.iter().copied().filter(left).collect();
        let Some(candidates) = [due, others].into_iter().find(|functions| !functions.is_empty())
        else {
            continue;
        };
        let function = seed.pick(&candidates);
        *tried.entry(function).or_default() += 1;
        let busiest: Vec<String> = processes(function).into_iter().take(BUSY).collect();
        if !busiest.is_empty() {
            let id = &busiest[seed.between(0, busiest.len() - 1)];
            // The process may have ended by itself, so an error does not matter.
            let _ = Command::new("kill").args(["-9", id]).status();
        }
    }
}

/// Returns the log of the emulator, which has the output of all functions, including those that were killed.
pub fn emulator_log() -> String {
    let log = PathBuf::from(output("LOCAL_LOGS")).join("emulator.log");
    String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned()
}

/// Returns how often each function of this stack was killed while it worked.
pub fn hits(log: &str) -> BTreeMap<String, usize> {
    let mut hits = BTreeMap::new();
    let prefix = format!("Lambda {}-", output("BCCE_STACK"));
    for line in log.lines().filter(|line| line.contains(": Runtime exited before")) {
        let function = line.split(&prefix).nth(1).and_then(|rest| rest.split(':').next());
        *hits.entry(function.unwrap_or("another").to_owned()).or_default() += 1;
    }
    hits
}

/// Returns the ids of the processes of a function. The one that has used the most processor time comes first.
fn processes(function: &str) -> Vec<String> {
    let expected = [
        format!("{SESSION}={}", output(SESSION)),
        format!("AWS_LAMBDA_FUNCTION_NAME={}-{function}", output("BCCE_STACK")),
    ];
    let is_process = |id: &String| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let has = |entry: &String| environment.split(|b| *b == 0).any(|e| e == entry.as_bytes());
        expected.iter().all(has)
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut ids: Vec<String> =
        names.filter(|name| name.parse::<u32>().is_ok()).filter(is_process).collect();
    // The time of each process is read once, because it grows while the ids are sorted.
    ids.sort_by_cached_key(|id| std::cmp::Reverse(worked(id)));
    ids
}

/// Returns the processor time of a process, in clock ticks.
fn worked(id: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}
