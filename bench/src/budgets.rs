//! The limits of the figures that repeat on any machine: ratios, sizes and instruction counts.

use std::fmt;

use crate::candidates::Kind;
use crate::figures::{Row, find};

/// The instructions of a function from its start to its first request for an event, in millions.
const INIT_INSTRUCTIONS: f64 = 2.0;
/// The time of the same, as a multiple of that of a handler that does nothing.
const INIT_RATIO: f64 = 1.3;
/// The instructions of `invoke` for a short answer, in millions.
const CALL_INSTRUCTIONS: f64 = 2.4;
/// The time of `invoke` as a multiple of that of its requests on hyper and SigV4.
const CALL_RATIO: f64 = 2.5;
/// The time of `failover-router` as a multiple of that of a handler that does nothing.
const ROUTER_RATIO: f64 = 1.5;
const MEMORY_MB: f64 = 20.0;
const ZIP_MB: f64 = 5.0;
const BINARY_MB: f64 = 10.0;
/// The budget of `invoke` for the same.
const INVOKE_BINARY_MB: f64 = 13.0;
/// The least ratios of Python and Node to `invoke`, and the largest of `invoke`'s memory to theirs.
const INTERPRETED: [f64; 3] = [50.0, 3.0, 1.0 / 3.0];

/// A figure that exceeds its budget for a known reason.
struct Explained {
    /// The figure, as in [`Verdict`].
    what: &'static str,
    /// The value that it may have.
    most: f64,
    why: &'static str,
}

const EXPLAINED: &[Explained] = &[];

/// A budget, and what was measured.
#[derive(Debug)]
pub struct Verdict {
    what: String,
    measured: f64,
    budget: f64,
    /// The budget is a lower limit.
    is_least: bool,
}

impl Verdict {
    /// Returns whether the figure keeps its budget, or exceeds it as far as is explained.
    pub fn is_kept(&self) -> bool {
        self.keeps(self.budget) || self.explained().is_some_and(|known| self.keeps(known.most))
    }

    fn keeps(&self, budget: f64) -> bool {
        if self.is_least { self.measured >= budget } else { self.measured <= budget }
    }

    fn explained(&self) -> Option<&'static Explained> {
        EXPLAINED.iter().find(|known| known.what == self.what)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, measured, budget, .. } = self;
        let sign = if self.is_least { '≥' } else { '≤' };
        let explained = self.explained().filter(|_| self.is_kept());
        match (self.keeps(*budget), explained) {
            (true, _) => write!(f, "kept: {what} is {measured:.2}, must be {sign} {budget:.2}"),
            (false, None) => {
                write!(f, "EXCEEDED: {what} is {measured:.2}, must be {sign} {budget:.2}")
            }
            (false, Some(known)) => write!(
                f,
                "explained: {what} is {measured:.2}, should be {sign} {budget:.2}: {}",
                known.why
            ),
        }
    }
}

/// Compares the rows with the budgets.
///
/// # Errors
/// A sentence: a figure was not measured, because something is not installed.
pub fn verdicts(rows: &[Row]) -> Result<Vec<Verdict>, String> {
    let row = |kind, scene| {
        let missing = || format!("{scene} was not measured with {kind:?}: run `make bench-check`");
        find(rows, kind, scene).ok_or_else(missing)
    };
    let (nothing, invoke) = (row(Kind::Nothing, "invoke")?, row(Kind::Function, "invoke")?);
    let router = row(Kind::Function, "failover-router")?;
    let mut verdicts = Vec::new();
    for row in rows.iter().filter(|row| row.kind == Kind::Function) {
        verdicts.extend(of_function(row)?);
    }
    let ratio = router.p50_ms / nothing.p50_ms;
    verdicts.push(most("a call of failover-router, × nothing".to_owned(), ratio, ROUTER_RATIO));
    let ratio = invoke.p50_ms / row(Kind::Bare, "invoke")?.p50_ms;
    verdicts.push(most("a call of invoke, × bare hyper".to_owned(), ratio, CALL_RATIO));
    for kind in [Kind::Python, Kind::Node] {
        let other = row(kind, "invoke")?;
        let [init, call, memory] = INTERPRETED;
        let least = |of: &str, measured, budget| Verdict {
            what: format!("{of} of {kind:?}, × invoke"),
            measured,
            budget,
            is_least: true,
        };
        verdicts.push(least("init", other.init_ms / invoke.init_ms, init));
        verdicts.push(least("a call", other.p50_ms / invoke.p50_ms, call));
        let what = format!("memory of invoke, × {kind:?}");
        verdicts.push(most(what, invoke.memory_mb / other.memory_mb, memory));
    }
    Ok(verdicts)
}

/// Compares a function with the budgets that each function has. Those of the binary are compared once, not for each
/// scene of the function.
fn of_function(row: &Row) -> Result<Vec<Verdict>, String> {
    let Row { name, scene_name, .. } = row;
    let instructions = row.instructions.ok_or("valgrind is not installed")?;
    let sizes = row.sizes.ok_or_else(|| format!("the size of {name} was not measured"))?;
    let (millions, mb) = (|count: u64| count as f64 / 1e6, |bytes: u64| bytes as f64 / 1e6);
    let mut verdicts = vec![most(format!("memory of {name} in MB"), row.memory_mb, MEMORY_MB)];
    if *scene_name == "invoke" {
        let what = format!("instructions of a call of {name} in M");
        verdicts.push(most(what, millions(instructions.call), CALL_INSTRUCTIONS));
    }
    if !scene_name.contains(',') {
        let binary = if *scene_name == "invoke" { INVOKE_BINARY_MB } else { BINARY_MB };
        let init = millions(instructions.init);
        verdicts.extend([
            most(format!("init of {name}, × nothing"), row.init_ratio, INIT_RATIO),
            most(format!("instructions of the init of {name} in M"), init, INIT_INSTRUCTIONS),
            most(format!("zip of {name} in MB"), mb(sizes.zip), ZIP_MB),
            most(format!("binary of {name} in MB"), mb(sizes.binary), binary),
        ]);
    }
    Ok(verdicts)
}

fn most(what: String, measured: f64, budget: f64) -> Verdict {
    Verdict { what, measured, budget, is_least: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(measured: f64, budget: f64, is_least: bool) -> Verdict {
        Verdict { what: "size".to_owned(), measured, budget, is_least }
    }

    #[test]
    fn a_figure_beyond_its_budget_is_exceeded() {
        for (measured, is_least, is_kept) in
            [(5.0, false, true), (5.1, false, false), (5.0, true, true), (4.9, true, false)]
        {
            assert_eq!(verdict(measured, 5.0, is_least).is_kept(), is_kept, "{measured}");
        }
        let exceeded = verdict(5.1, 5.0, false).to_string();
        assert_eq!(exceeded, "EXCEEDED: size is 5.10, must be ≤ 5.00");
    }

    #[test]
    fn an_explained_figure_may_exceed_its_budget_as_far_as_is_explained() {
        for known in EXPLAINED {
            let at =
                |measured| Verdict { what: known.what.to_owned(), ..verdict(measured, 0.0, false) };
            assert!(at(known.most).is_kept() && !at(known.most * 1.01).is_kept(), "{}", known.what);
            assert!(at(known.most).to_string().contains(known.why), "{}", known.what);
        }
    }
}
