//! Finds targets that nearly always fail, so that the next target of the model answers.

use std::collections::BTreeMap;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::config::models::Model;
use bcce_core::config::routing::Strategy;
use serde_json::json;

use crate::figures::{count, milliseconds};
use crate::metrics::advice::finding::{Change, Finding, Kind};
use crate::metrics::advice::measured::MeasuredStep;
use crate::metrics::advice::{LEAST_CALLS, TooFew};
use crate::metrics::groups::Sums;

/// The document of the targets.
const DOCUMENT: &str = "models.yaml";
/// The least share of calls that a target must fail for advice to be given, in percent.
const LEAST_FAILED: u64 = 90;

/// The advice about targets.
#[derive(Debug, Default)]
pub struct OfTargets {
    pub findings: Vec<Finding>,
    pub too_few: Vec<TooFew>,
}

/// Returns the advice about the targets of the models that the steps name.
pub fn of(steps: &[MeasuredStep<'_>]) -> OfTargets {
    let mut by_alias: BTreeMap<&str, Vec<&MeasuredStep<'_>>> = BTreeMap::new();
    for step in steps {
        by_alias.entry(&step.step.model).or_default().push(step);
    }
    let mut all = OfTargets::default();
    for (alias, steps) in by_alias {
        let Some(model) = steps[0].model() else { continue };
        let strategy = strategy(&steps, model);
        let measured = model.targets().map(|target| Measured::of(target, &steps)).collect();
        all.add(&Alias { alias, model, strategy, measured });
    }
    all
}

/// Returns the strategy of the model, before a workflow or a step changes it.
fn strategy(steps: &[&MeasuredStep<'_>], model: &Model) -> Strategy {
    steps[0].configuration.routing.clone().with(&model.routing).strategy
}

/// A model with the calls to each of its targets.
struct Alias<'a> {
    alias: &'a str,
    model: &'a Model,
    strategy: Strategy,
    measured: Vec<Measured<'a>>,
}

/// The calls on demand to a target.
struct Measured<'a> {
    target: &'a Target,
    calls: u64,
    answered: u64,
    /// The calls that failed so that another target was tried, by error name.
    failed: BTreeMap<&'static str, u64>,
    failed_ms: u64,
}

impl<'a> Measured<'a> {
    fn of(target: &'a Target, steps: &[&MeasuredStep<'_>]) -> Self {
        let mut sums = Sums::default();
        steps.iter().for_each(|step| sums.add(&step.of_target(target)));
        let failing = ErrorName::ALL.iter().filter(|error| error.fails_over());
        let failed = failing.filter_map(|error| {
            let name = error.as_str();
            Some((name, *sums.detail.errors.get(name)?))
        });
        Self {
            target,
            calls: sums.line.calls,
            answered: sums.line.calls - sums.line.failed_calls,
            failed: failed.collect(),
            failed_ms: sums.detail.failed_over_ms,
        }
    }

    fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn nearly_always_fails(&self) -> bool {
        self.failures() > 0 && self.failures() * 100 >= LEAST_FAILED * self.calls
    }

    /// Returns true if most of the failed calls were rejected.
    fn rejects(&self) -> bool {
        let rejected = self.failed.get(ErrorName::TargetRejected.as_str());
        rejected.is_some_and(|rejected| 2 * rejected > self.failures())
    }

    /// Describes the errors, the most frequent first: `20 Bcce.TargetThrottled and 1 Bcce.TargetTimeout`.
    fn errors(&self) -> String {
        let mut errors: Vec<_> = self.failed.iter().collect();
        errors.sort_by_key(|(_, calls)| std::cmp::Reverse(**calls));
        let errors = errors.iter().map(|(name, calls)| format!("{} {name}", count(**calls)));
        errors.collect::<Vec<_>>().join(" and ")
    }
}

impl OfTargets {
    fn add(&mut self, alias: &Alias<'_>) {
        let answered: u64 = alias.measured.iter().map(|measured| measured.answered).sum();
        for (place, measured) in alias.measured.iter().enumerate() {
            let elsewhere = answered - measured.answered;
            // If the other targets do not answer either, another order does not help.
            let is_answered_elsewhere = 2 * elsewhere > measured.failures();
            if !measured.nearly_always_fails() || !is_answered_elsewhere {
                continue;
            }
            match measured.calls {
                LEAST_CALLS.. => self.findings.push(alias.finding(place, elsewhere)),
                calls => self.too_few.push(TooFew {
                    of: format!(
                        "{}, which nearly always fails for {}",
                        measured.target, alias.alias
                    ),
                    counted: "calls",
                    count: calls,
                    needed: LEAST_CALLS,
                }),
            }
        }
    }
}

impl Alias<'_> {
    fn finding(&self, place: usize, elsewhere: u64) -> Finding {
        let measured = &self.measured[place];
        let (alias, target, failures) = (self.alias, measured.target, measured.failures());
        let lost = milliseconds(measured.failed_ms);
        let each = milliseconds(measured.failed_ms / failures.max(1));
        let matters = vec![format!(
            "The failed calls took {lost}, {each} each, before another target was tried."
        )];
        Finding {
            kind: Kind::FailingTarget,
            title: format!(
                "{target} nearly always fails, before another target of {alias} answers"
            ),
            about: json!({ "model": alias, "target": target }),
            measured: vec![format!(
                "{} of {} calls to it failed: {}. The other targets of {alias} answered {} calls.",
                count(failures),
                count(measured.calls),
                measured.errors(),
                count(elsewhere)
            )],
            figures: json!({
                "calls": measured.calls,
                "failed_calls": failures,
                "errors": measured.failed,
                "failed_ms": measured.failed_ms,
                "answered_by_others": elsewhere,
            }),
            matters,
            change: self.change(place),
            usd: None,
            weight: measured.failed_ms,
        }
    }

    /// Returns the change that makes the router call the other targets first. Only the strategy `priority` follows the
    /// list; with another one, the target is removed. So is a target that rejects calls, which can never answer.
    fn change(&self, place: usize) -> Change {
        let measured = &self.measured[place];
        if measured.rejects() || self.strategy != Strategy::Priority {
            return self.removal(place);
        }
        match self.model.targets.iter().any(|listed| listed.priority.is_some()) {
            true => self.priority(place),
            false => self.order(place),
        }
    }

    fn removal(&self, place: usize) -> Change {
        let target = self.measured[place].target;
        let to = self.model.targets().filter(|other| *other != target).collect();
        let correct = match self.measured[place].rejects() {
            true => ", or correct its id or the access to it",
            false => "",
        };
        self.list(to, |targets| format!("remove {target} from {targets}{correct}"))
    }

    fn order(&self, place: usize) -> Change {
        let target = self.measured[place].target;
        let others = self.model.targets().filter(|other| *other != target);
        self.list(others.chain([target]).collect(), |targets| {
            format!("move {target} to the end of {targets}, or remove it")
        })
    }

    fn priority(&self, place: usize) -> Change {
        let priority = |n: usize| self.model.targets[n].priority.unwrap_or(n as u32);
        let last = (0..self.measured.len()).map(priority).max().unwrap_or_default() + 1;
        let key = format!("models.{}.targets[{place}].priority", self.alias);
        let text = format!("in {DOCUMENT}, set {key} to {last}, or remove the target");
        let (from, to) = (json!(priority(place)), json!(last));
        Change { document: DOCUMENT.to_owned(), key, from, to, text }
    }

    /// Returns a change of the list of targets.
    fn list(&self, to: Vec<&Target>, what: impl Fn(&str) -> String) -> Change {
        let key = format!("models.{}.targets", self.alias);
        let text = format!("in {DOCUMENT}, {}", what(&key));
        let from: Vec<&Target> = self.model.targets().collect();
        Change { document: DOCUMENT.to_owned(), key, from: json!(from), to: json!(to), text }
    }
}
