//! Medians of rounds, and the table.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::candidates::{Candidate, FAILING, Kind};
use crate::instructions::Instructions;
use crate::process::Round;

/// The figures of a candidate.
pub struct Row {
    pub name: String,
    pub kind: Kind,
    pub scene_name: &'static str,
    /// The time of a start in milliseconds, the median of the rounds.
    pub init_ms: f64,
    /// The median of the quotients of each round and the same round of the handler that does nothing.
    pub init_ratio: f64,
    /// The CPU time of the first event of a process that reaches the services over TLS, in milliseconds.
    pub first_tls_cpu_ms: Option<f64>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub cpu_ms: f64,
    /// The peak of the resident memory, in MB.
    pub memory_mb: f64,
    /// `None` for a handler that an interpreter runs, and without callgrind.
    pub instructions: Option<Instructions>,
    /// `None` for a handler that an interpreter runs.
    pub sizes: Option<Sizes>,
}

/// The sizes of a binary, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub binary: u64,
    pub zip: u64,
}

/// The events that open connections and fill caches. Their times do not count.
const WARM_UP: usize = 8;

impl Row {
    /// Returns the medians of the rounds. `started` are those of processes that got no event, of the candidate and of the
    /// handler that does nothing; `first` those of processes that got one event over TLS.
    pub fn new(
        candidate: &Candidate,
        [started, reference]: [&[Round]; 2],
        rounds: &[Round],
        first: &[Round],
        instructions: Option<Instructions>,
        sizes: Option<Sizes>,
    ) -> Self {
        let each = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
        let ratios = started.iter().zip(reference).map(|(a, b)| ms(a.init) / ms(b.init)).collect();
        let first_cpu = first.iter().filter_map(|round| round.cpu.first().copied()).map(ms);
        Self {
            name: candidate.name.clone(),
            kind: candidate.kind,
            scene_name: candidate.scene_name,
            init_ms: median(started.iter().map(|round| ms(round.init)).collect()),
            init_ratio: median(ratios),
            first_tls_cpu_ms: (!first.is_empty()).then(|| median(first_cpu.collect())),
            p50_ms: each(&|round| percentile(&round.took, 50)),
            p99_ms: each(&|round| percentile(&round.took, 99)),
            cpu_ms: each(&|round| percentile(&round.cpu, 50)),
            memory_mb: each(&|round| round.memory_kb as f64 * 1024.0 / 1e6),
            instructions,
            sizes,
        }
    }

    /// Returns the row of the table.
    pub fn line(&self) -> String {
        let millions = |count: fn(&Instructions) -> u64| {
            self.instructions.as_ref().map(|i| format!("{:.2}", count(i) as f64 / 1e6))
        };
        let megabytes = |size: fn(&Sizes) -> u64| self.sizes.as_ref().map(|s| mb(size(s)));
        let cells = [
            self.name.clone(),
            format!("{:.1}", self.init_ms),
            format!("{:.2}", self.init_ratio),
            millions(|i| i.init).unwrap_or_default(),
            self.first_tls_cpu_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default(),
            format!("{:.2}", self.p50_ms),
            format!("{:.2}", self.p99_ms),
            format!("{:.2}", self.cpu_ms),
            millions(|i| i.call).unwrap_or_default(),
            format!("{:.1}", self.memory_mb),
            megabytes(|s| s.binary).unwrap_or_default(),
            megabytes(|s| s.zip).unwrap_or_default(),
        ];
        format!("| {} |", cells.join(" | "))
    }
}

pub const HEADING: &str = "\
| scene | init ms | init, × nothing | init, M instr. | first over TLS, CPU ms | call p50 ms | call p99 ms | call CPU ms | call, M instr. | memory MB | binary MB | zip MB |
|---|---|---|---|---|---|---|---|---|---|---|---|";

/// Returns the row of a kind of handler in a scene.
pub fn find<'a>(rows: &'a [Row], kind: Kind, scene: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.kind == kind && row.scene_name == scene)
}

/// Compares `invoke` with the other handlers of its scenes, and says what a failing region costs each of them.
pub fn compared(rows: &[Row]) -> Vec<String> {
    let others = rows.iter().filter(|row| row.kind > Kind::Function);
    let against = others.filter_map(|other| {
        let invoke = find(rows, Kind::Function, other.scene_name)?;
        let ratio = |of: fn(&Row) -> f64| of(other) / of(invoke);
        Some(format!(
            "{} takes {:.2} × the init, {:.2} × the p50, {:.2} × the CPU and {:.2} × the memory of the function",
            other.name,
            ratio(|row| row.init_ms),
            ratio(|row| row.p50_ms),
            ratio(|row| row.cpu_ms),
            ratio(|row| row.memory_mb),
        ))
    });
    let failing = rows.iter().filter(|row| row.scene_name == FAILING).filter_map(|failing| {
        let whole = find(rows, failing.kind, "invoke")?;
        let more = failing.p50_ms - whole.p50_ms;
        Some(format!("{}: {more:.2} ms more than without the failure", failing.name))
    });
    against.chain(failing).collect()
}

/// Returns the sizes of a binary. `folder` is where it is packed.
///
/// # Errors
/// A sentence: the binary cannot be read or packed.
pub fn sizes(binary: &Path, folder: &Path) -> Result<Sizes, String> {
    let zip = folder.join("bootstrap.zip");
    let packed = Command::new("python3")
        .args(["-m", "zipfile", "-c"])
        .args([&zip, binary])
        .status()
        .map_err(|error| format!("python3: {error}"))?;
    if !packed.success() {
        return Err(format!("{} cannot be packed", binary.display()));
    }
    let size = |path: &Path| {
        let data = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()));
        data.map(|data| data.len())
    };
    Ok(Sizes { binary: size(binary)?, zip: size(&zip)? })
}

fn mb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Returns a percentile of the times after the warm-up, in milliseconds.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.get(WARM_UP..).unwrap_or_default().to_vec();
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(at).copied().map_or(0.0, ms)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured_after_the_warm_up() {
        let warm_up = vec![Duration::from_secs(1); WARM_UP];
        let times: Vec<_> =
            warm_up.into_iter().chain((1..=200).map(Duration::from_millis)).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (100.0, 198.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
