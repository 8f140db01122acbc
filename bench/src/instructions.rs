//! Counts the instructions of a candidate with callgrind. Two counts of one binary differ by 0.3 % at most, whatever
//! else the machine does.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::candidates::Candidate;
use crate::process::{self, Reached, Starter};
use crate::server::Limit;

/// The events before the counted ones. They fill caches and open connections.
const WARM_UP: usize = 4;
/// The least number of counted events.
const COUNTED: usize = 16;

/// The instructions of a process.
#[derive(Clone, Copy, Debug)]
pub struct Instructions {
    /// The instructions from the start to the first request for an event.
    pub init: u64,
    /// The instructions from an event to the request for the next one.
    pub call: u64,
}

/// Returns whether callgrind is installed.
pub fn is_available() -> bool {
    std::process::Command::new("valgrind").arg("--version").output().is_ok()
}

/// Counts the instructions of a candidate. `folder` is where callgrind writes its results.
///
/// # Errors
/// As [`process::run`], and if callgrind writes no result.
pub async fn count(
    starter: &Starter,
    candidate: &Candidate,
    folder: &Path,
) -> Result<Instructions, String> {
    // Each invocation of the scene equally often.
    let counted = COUNTED.next_multiple_of(candidate.scene.len());
    let [init, warm, all] = [
        total(starter, candidate, folder, 0).await?,
        total(starter, candidate, folder, WARM_UP).await?,
        total(starter, candidate, folder, WARM_UP + counted).await?,
    ];
    Ok(Instructions { init, call: all.saturating_sub(warm) / counted as u64 })
}

async fn total(
    starter: &Starter,
    candidate: &Candidate,
    folder: &Path,
    events: usize,
) -> Result<u64, String> {
    // It stays, so that callgrind_annotate can show the functions of a binary that is not stripped.
    let out = folder.join(format!("{}.callgrind", candidate.name));
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(name);
        option.push(value);
        option
    };
    let wrapper = [
        "valgrind".into(),
        "--tool=callgrind".into(),
        option("--callgrind-out-file=", &out),
        option("--log-file=", &folder.join("callgrind.log")),
    ];
    let limit = Limit { events, time: Duration::MAX };
    process::run(starter, candidate, &Reached::Plain, &wrapper, limit).await?;
    let text =
        std::fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    totals.ok_or_else(|| format!("{} has no total", out.display()))
}
