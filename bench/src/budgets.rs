//! The limits of the figures that repeat on any machine: ratios, sizes and instruction counts.

use std::fmt;

use crate::candidates::Kind;
use crate::figures::Row;

/// The instructions of a function from its start to its first request for an event.
const INIT_INSTRUCTIONS: f64 = 2.0e6;
/// The time of the same, as a multiple of that of a handler that does nothing.
const INIT_RATIO: f64 = 1.3;
/// The instructions of `invoke` for a short answer.
const CALL_INSTRUCTIONS: f64 = 2.4e6;
/// The time of `invoke` as a multiple of that of its requests on hyper and SigV4.
const CALL_RATIO: f64 = 2.5;
/// The time of `failover-router` as a multiple of that of a handler that does nothing.
const ROUTER_RATIO: f64 = 1.5;
const MEMORY_MB: f64 = 20.0;
const ZIP_MB: f64 = 5.0;
const BINARY_MB: f64 = 10.0;
/// Of the functions that call models.
const CALLER_BINARY_MB: f64 = 13.0;
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

/// Compares the rows with the budgets. A row that is missing has no verdict.
pub fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let most = |what: String, measured, budget| Verdict { what, measured, budget, is_least: false };
    let find = |kind, scene: &str| rows.iter().find(|r| r.kind == kind && r.scene_name == scene);
    let mut verdicts = Vec::new();
    for row in rows.iter().filter(|row| row.kind == Kind::Function) {
        let name = &row.name;
        verdicts.push(most(format!("init of {name}, × nothing"), row.init_ratio, INIT_RATIO));
        verdicts.push(most(format!("memory of {name} in MB"), row.memory_mb, MEMORY_MB));
        if let Some(instructions) = row.instructions {
            let millions = |count: f64| count / 1e6;
            let what = format!("instructions of the init of {name} in M");
            let init = millions(instructions.init as f64);
            verdicts.push(most(what, init, millions(INIT_INSTRUCTIONS)));
            if name == "invoke" {
                let what = format!("instructions of a call of {name} in M");
                let call = millions(instructions.call as f64);
                verdicts.push(most(what, call, millions(CALL_INSTRUCTIONS)));
            }
        }
        if let Some(sizes) = row.sizes {
            let mb = |bytes: u64| bytes as f64 / 1e6;
            let is_caller = name.starts_with("invoke") || name == "run-part";
            let binary = if is_caller { CALLER_BINARY_MB } else { BINARY_MB };
            verdicts.push(most(format!("zip of {name} in MB"), mb(sizes.zip), ZIP_MB));
            verdicts.push(most(format!("binary of {name} in MB"), mb(sizes.binary), binary));
        }
    }
    if let (Some(router), Some(nothing)) =
        (find(Kind::Function, "failover-router"), find(Kind::Nothing, "invoke"))
    {
        let ratio = router.p50_ms / nothing.p50_ms;
        verdicts.push(most("a call of failover-router, × nothing".into(), ratio, ROUTER_RATIO));
    }
    let Some(invoke) = find(Kind::Function, "invoke") else { return verdicts };
    if let Some(bare) = find(Kind::Bare, "invoke") {
        let ratio = invoke.p50_ms / bare.p50_ms;
        verdicts.push(most("a call of invoke, × bare hyper".into(), ratio, CALL_RATIO));
    }
    for kind in [Kind::Python, Kind::Node] {
        let Some(other) = find(kind, "invoke") else { continue };
        let [init, call, memory] = INTERPRETED;
        let least =
            |what: String, measured, budget| Verdict { what, measured, budget, is_least: true };
        let what = |of: &str| format!("{of} of {kind:?}, × invoke");
        verdicts.push(least(what("init"), other.init_ms / invoke.init_ms, init));
        verdicts.push(least(what("a call"), other.p50_ms / invoke.p50_ms, call));
        let what = format!("memory of invoke, × {kind:?}");
        verdicts.push(most(what, invoke.memory_mb / other.memory_mb, memory));
    }
    verdicts
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
