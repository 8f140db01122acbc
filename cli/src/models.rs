//! The targets of the model aliases: what the stack, and Bedrock if it is asked, know about each.

pub mod json; // the targets as JSON
pub mod print; // the targets as a table, or as blocks in a narrow terminal
pub mod read; // reads the documents, the ledger and Bedrock
#[cfg(test)]
mod samples;

use bcce_core::config::pricing::Price;
use bcce_core::failover::breaker::Breaker;
use bcce_core::failover::latency::{BOUNDS_MS, Histogram};
use bcce_core::standby::canary::LastCall;
use bcce_core::standby::checks::WatchedTarget;
use bcce_core::standby::facts::{ModelFacts, TargetFacts};
use bcce_core::standby::finding::{Check, Finding, Level};
use time::{Date, OffsetDateTime};

/// A target with everything that is known about it.
#[derive(Clone, Debug)]
pub struct Known {
    pub watched: WatchedTarget,
    /// The reason why the policy forbids the target.
    pub forbidden: Option<String>,
    /// The price of today, in USD per million tokens.
    pub price: Option<Price>,
    pub breaker: Breaker,
    /// The times to the first token of the last minutes.
    pub latency: Histogram,
    /// The calls on demand that runs made since [`Report::since`].
    pub calls: u64,
    pub last_call: Option<LastCall>,
    /// The answers of Bedrock. `None` if it was not asked.
    pub facts: Option<TargetFacts>,
    /// The findings that a person has to correct.
    pub findings: Vec<Finding>,
}

/// The reachability of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Yes,
    /// The policy forbids it.
    Forbidden,
    /// A check found that it takes no calls.
    No(Check),
}

impl Known {
    pub fn reach(&self, now: OffsetDateTime) -> Reach {
        if self.forbidden.is_some() {
            return Reach::Forbidden;
        }
        let dead = self.findings.iter().find(|finding| self.is_dead(finding, now));
        dead.map_or(Reach::Yes, |finding| Reach::No(finding.check))
    }

    /// Returns true if the finding means that no call is answered now.
    fn is_dead(&self, finding: &Finding, now: OffsetDateTime) -> bool {
        let takes_calls = match finding.check {
            Check::Price | Check::MaxTokens | Check::Retention => true,
            // A model that ends soon still answers.
            Check::EndOfLife => self.model().is_some_and(|model| model.ends_at > Some(now)),
            _ => false,
        };
        finding.level == Level::Fail && !takes_calls
    }

    /// Returns what Bedrock says about the model, if it was asked and has the model.
    pub fn model(&self) -> Option<&ModelFacts> {
        self.facts.as_ref()?.model.as_ref()?.as_ref().ok()
    }

    /// Returns the median of the times to the first token: an upper bound in milliseconds, or `None` above the largest
    /// bound. Returns `None` if there were too few calls.
    pub fn median_ms(&self) -> Option<Option<u64>> {
        self.latency.median().map(|bucket| BOUNDS_MS.get(bucket).copied())
    }
}

/// All targets by alias.
#[derive(Clone, Debug)]
pub struct Report {
    pub environment: String,
    pub now: OffsetDateTime,
    /// The first day, in UTC, whose calls count for the shares. The last one is today.
    pub since: Date,
    /// True if Bedrock was asked.
    pub is_live: bool,
    pub targets: Vec<Known>,
    /// The aliases in alphabetical order, each with the places of its targets in `targets`.
    pub aliases: Vec<(String, Vec<usize>)>,
    /// The questions that Bedrock did not answer.
    pub unread: Vec<String>,
}

/// A target of an alias.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    pub alias: &'a str,
    pub known: &'a Known,
    /// The share of the target in the calls of its alias. `None` if there were none.
    pub share: Option<f64>,
}

impl Report {
    /// Returns the targets of each alias, in the order in which they are tried.
    pub fn listed(&self) -> impl Iterator<Item = Listed<'_>> {
        self.aliases.iter().flat_map(move |(alias, places)| {
            let calls: u64 = places.iter().map(|place| self.targets[*place].calls).sum();
            places.iter().map(move |place| {
                let known = &self.targets[*place];
                let share = (calls > 0).then(|| known.calls as f64 / calls as f64);
                Listed { alias, known, share }
            })
        })
    }

    /// Returns all findings, the worst first.
    pub fn findings(&self) -> Vec<&Finding> {
        let mut all: Vec<_> = self.targets.iter().flat_map(|known| &known.findings).collect();
        all.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        all
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::models::samples::{NOON, finding, known, report};

    #[test]
    fn the_shares_of_an_alias_add_up() {
        let report = report();
        let shares: Vec<_> = report.listed().map(|listed| (listed.alias, listed.share)).collect();
        assert_eq!(shares, [("haiku", Some(0.75)), ("haiku", Some(0.25)), ("opus", None)]);
    }

    #[test]
    fn a_target_that_takes_no_calls_is_not_reachable() {
        let mut target = known("us-east-1", 0);
        assert_eq!(target.reach(NOON), Reach::Yes);
        target.findings =
            vec![finding(Level::Warn, Check::Reach), finding(Level::Fail, Check::Price)];
        assert_eq!(target.reach(NOON), Reach::Yes, "such a target still takes calls");
        target.findings.push(finding(Level::Fail, Check::Quota));
        assert_eq!(target.reach(NOON), Reach::No(Check::Quota));
        target.forbidden = Some("residency".into());
        assert_eq!(target.reach(NOON), Reach::Forbidden);
    }

    #[test]
    fn a_model_that_ends_soon_is_reachable_until_it_has_ended() {
        let mut target = known("us-east-1", 0);
        target.findings = vec![finding(Level::Fail, Check::EndOfLife)];
        let ends = |days| {
            let ends_at = Some(NOON + Duration::days(days));
            let model = ModelFacts { ends_at, ..ModelFacts::default() };
            Some(TargetFacts { model: Some(Ok(model)), ..TargetFacts::default() })
        };
        target.facts = ends(40);
        assert_eq!(target.reach(NOON), Reach::Yes);
        target.facts = ends(-1);
        assert_eq!(target.reach(NOON), Reach::No(Check::EndOfLife));
    }
}
