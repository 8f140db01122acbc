//! The limits of the figures that can be compared between machines: ratios, sizes, memory and instruction counts.

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
    /// The name of the figure, as in [`Verdict`].
    figure: &'static str,
    /// The functions or handlers with the value that the figure may have. `*` stands for every one.
    of: &'static [(&'static str, f64)],
    why: &'static str,
}

const EXPLAINED: &[Explained] = &[
    Explained {
        figure: INIT,
        of: &[("*", 1.8)],
        why: "each SDK crate parses a list of regions, 0.4 M instructions, and a larger binary touches more pages",
    },
    Explained {
        figure: CALL,
        of: &[("invoke", 3.3)],
        why: "0.9 M are SHA-256 in software, because callgrind has no SHA instructions",
    },
    Explained {
        figure: ZIP,
        of: &[
            ("invoke", 6.0),
            ("open-batch", 6.2),
            ("prepare", 6.2),
            ("render-part", 5.5),
            ("run-part", 6.5),
            ("take-part", 5.6),
        ],
        why: "the JSON schema validator with its regexes and the template engine take 2 MB",
    },
    Explained {
        figure: BINARY,
        of: &[
            ("open-batch", 13.6),
            ("prepare", 13.6),
            ("render-part", 11.6),
            ("run-part", 14.0),
            ("take-part", 11.9),
        ],
        why: "the JSON schema validator with its regexes and the template engine take 4 MB",
    },
];

const INIT: &str = "init of {}, × nothing";
const CALL: &str = "instructions of a call of {} in M";
const ZIP: &str = "zip of {} in MB";
const BINARY: &str = "binary of {} in MB";

/// A budget, and what was measured.
#[derive(Debug)]
pub struct Verdict {
    /// The name of the figure, in which `{}` stands for the function or the handler.
    figure: &'static str,
    of: String,
    measured: f64,
    budget: f64,
    /// The budget is a lower limit.
    is_least: bool,
}

impl Verdict {
    /// Returns whether the figure keeps its budget, or exceeds it as far as is explained.
    pub fn is_kept(&self) -> bool {
        self.keeps(self.budget) || self.explained().is_some_and(|(most, _)| self.keeps(most))
    }

    fn keeps(&self, budget: f64) -> bool {
        if self.is_least { self.measured >= budget } else { self.measured <= budget }
    }

    /// Returns the value that the figure may have, and why.
    fn explained(&self) -> Option<(f64, &'static str)> {
        let known = EXPLAINED.iter().find(|known| known.figure == self.figure)?;
        let (_, most) = known.of.iter().find(|(of, _)| *of == "*" || *of == self.of)?;
        Some((*most, known.why))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.figure.replace("{}", &self.of);
        let sign = if self.is_least { '≥' } else { '≤' };
        let against = format!("{what} is {:.2}, must be {sign} {:.2}", self.measured, self.budget);
        match self.explained() {
            _ if self.keeps(self.budget) => write!(f, "kept: {against}"),
            Some((most, why)) if self.keeps(most) => {
                write!(f, "explained: {against}, may be {most:.2}: {why}")
            }
            _ => write!(f, "EXCEEDED: {against}"),
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
    verdicts.push(most("a call of {}, × nothing", &router.name, ratio, ROUTER_RATIO));
    let ratio = invoke.p50_ms / row(Kind::Bare, "invoke")?.p50_ms;
    verdicts.push(most("a call of {}, × bare hyper", &invoke.name, ratio, CALL_RATIO));
    for kind in [Kind::Python, Kind::Node] {
        let other = row(kind, "invoke")?;
        let [init, call, memory] = INTERPRETED;
        let of = format!("{kind:?}");
        let least = |figure, measured, budget| Verdict {
            is_least: true,
            ..most(figure, &of, measured, budget)
        };
        verdicts.push(least("init of {}, × invoke", other.init_ms / invoke.init_ms, init));
        verdicts.push(least("a call of {}, × invoke", other.p50_ms / invoke.p50_ms, call));
        let ratio = invoke.memory_mb / other.memory_mb;
        verdicts.push(most("memory of invoke, × {}", &of, ratio, memory));
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
    let mut verdicts = vec![most("memory of {} in MB", name, row.memory_mb, MEMORY_MB)];
    if *scene_name == "invoke" {
        verdicts.push(most(CALL, name, millions(instructions.call), CALL_INSTRUCTIONS));
    }
    if !scene_name.contains(',') {
        let binary = if *scene_name == "invoke" { INVOKE_BINARY_MB } else { BINARY_MB };
        let init = millions(instructions.init);
        verdicts.extend([
            most(INIT, name, row.init_ratio, INIT_RATIO),
            most("instructions of the init of {} in M", name, init, INIT_INSTRUCTIONS),
            most(ZIP, name, mb(sizes.zip), ZIP_MB),
            most(BINARY, name, mb(sizes.binary), binary),
        ]);
    }
    Ok(verdicts)
}

fn most(figure: &'static str, of: &str, measured: f64, budget: f64) -> Verdict {
    Verdict { figure, of: of.to_owned(), measured, budget, is_least: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beyond_its_budget_is_exceeded() {
        for (measured, is_least, is_kept) in
            [(5.0, false, true), (5.1, false, false), (5.0, true, true), (4.9, true, false)]
        {
            let verdict = Verdict { is_least, ..most("size of {}", "f", measured, 5.0) };
            assert_eq!(verdict.is_kept(), is_kept, "{measured}");
        }
        let exceeded = most("size of {}", "f", 5.1, 5.0).to_string();
        assert_eq!(exceeded, "EXCEEDED: size of f is 5.10, must be ≤ 5.00");
    }

    #[test]
    fn an_explained_figure_may_exceed_its_budget_as_far_as_is_explained() {
        let [kept, explained, exceeded, other] = [
            most(ZIP, "invoke", 4.9, ZIP_MB),
            most(ZIP, "invoke", 5.7, ZIP_MB),
            most(ZIP, "invoke", 6.1, ZIP_MB),
            most(ZIP, "dispatch", 5.1, ZIP_MB),
        ];
        assert!(kept.to_string().starts_with("kept: zip of invoke"), "{kept}");
        assert!(
            explained.is_kept() && explained.to_string().contains("JSON schema"),
            "{explained}"
        );
        assert!(!exceeded.is_kept() && !other.is_kept(), "{exceeded}, {other}");
    }
}
