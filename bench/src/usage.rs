use std::path::Path;
use std::time::Duration;

/// Returns the peak of the resident memory of a process, in KiB.
pub fn memory_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Returns the CPU time that all threads of a process have used.
pub fn cpu(process: u32) -> Duration {
    let threads =
        std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let used = |thread: &Path| -> Option<u64> {
        let text = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    threads.filter_map(|thread| used(&thread.path())).map(Duration::from_nanos).sum()
}
