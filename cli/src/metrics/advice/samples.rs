//! Configurations and usage for the tests of advice.

use std::collections::BTreeMap;

use bcce_core::base::histogram::Histogram;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;
use bcce_core::config::budgets::Budgets;
use bcce_core::config::configuration::Configuration;
use bcce_core::config::policy::Policy;
use bcce_core::config::profiles::Profiles;
use bcce_core::config::routing::Routing;
use bcce_core::document::{Document, from_yaml};
use bcce_core::ledger::usage::{Allocation, CountedCalls};
use bcce_core::run::manifest::{Detail, StepUsage, UsageLine};
use time::Date;
use time::macros::date;

use crate::metrics::advice::finding::Finding;
use crate::metrics::advice::measured::MeasuredBatch;
use crate::metrics::advice::{Advice, Examined, of};

pub const DAY: Date = date!(2026 - 11 - 28);
pub const HAIKU: &str = "us.anthropic.claude-haiku-5-5";
pub const OLD_HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";

fn read<T: Document>(yaml: &str) -> T {
    from_yaml(yaml).finished().unwrap()
}

/// Returns the configuration of the workflow `review`, whose only step is `summary`. `keys` are keys of the step, such
/// as `max_tokens: 400`.
pub fn configuration(keys: &str) -> Configuration {
    let step = format!("{{ id: summary, model: haiku, prompt: p, system: s, {keys} }}");
    Configuration {
        template: read(&format!("version: 1\nname: review\nsteps:\n- {step}\n")),
        template_sha256: "t".into(),
        models: read(include_str!("../../../../infra/config/dev/models.yaml")),
        routing: Routing::default(),
        policy: Policy::default(),
        policy_sha256: "p".into(),
        prices: read(include_str!("../../../../infra/config/dev/prices.yaml")),
        profiles: Profiles::default(),
        budgets: Budgets::default(),
    }
}

/// Returns answered calls of the step `summary` to the first target. `lengths` are tokens, each with a number of
/// answers. Each prompt has `prompt` tokens.
pub fn answers(lengths: &[(u64, u64)], prompt: u64) -> CountedCalls {
    let mut answer_tokens = Histogram::default();
    for (tokens, times) in lengths {
        (0..*times).for_each(|_| answer_tokens.record(*tokens));
    }
    let calls: u64 = lengths.iter().map(|(_, times)| times).sum();
    let output_tokens = lengths.iter().map(|(tokens, times)| tokens * times).sum();
    let usage = Usage { input_tokens: prompt * calls, output_tokens, ..Usage::default() };
    CountedCalls {
        allocation: Allocation {
            tenant: "default".into(),
            workflow: "review".into(),
            cost_tags: BTreeMap::new(),
        },
        usage: StepUsage {
            day: DAY,
            step: "summary".into(),
            tier: "default".into(),
            long_prompt: false,
            line: UsageLine {
                region: "us-east-1".into(),
                model_id: HAIKU.into(),
                calls,
                totals: Totals::counted(usage, "1".parse().unwrap(), (0, 0), HAIKU),
                ..UsageLine::default()
            },
            detail: Detail { answer_tokens, ..Detail::default() },
        },
    }
}

/// Returns calls of the step to a target that failed with an error, each in 40 ms.
pub fn failures(target: (&str, &str), error: &str, calls: u64) -> CountedCalls {
    let mut failed = answers(&[], 0);
    let line = &mut failed.usage.line;
    (line.region, line.model_id) = (target.0.into(), target.1.into());
    (line.calls, line.failed_calls) = (calls, calls);
    failed.usage.detail.errors = [(error.to_owned(), calls)].into();
    failed.usage.detail.failed_over_ms = 40 * calls;
    failed
}

/// Returns the usage with these tokens written to and read from the cache, and what that cost and saved in USD.
pub fn cached(mut calls: CountedCalls, written: (u64, &str), read: (u64, &str)) -> CountedCalls {
    let line = &mut calls.usage.line;
    let mut usage = line.totals.known_usage();
    (usage.cache_write_5m_tokens, usage.cache_read_tokens) = (written.0, read.0);
    line.totals = Totals::counted(usage, line.totals.known_cost(), (0, 0), HAIKU);
    calls.usage.detail.cache_extra_usd = written.1.parse().unwrap();
    calls.usage.detail.cache_saved_usd = read.1.parse().unwrap();
    calls
}

/// Returns the advice for calls of the workflow `review` with this configuration.
pub fn advice(configuration: Configuration, calls: &[CountedCalls]) -> Advice {
    with_batches(configuration, calls, &[])
}

pub fn with_batches(
    configuration: Configuration,
    calls: &[CountedCalls],
    batches: &[MeasuredBatch],
) -> Advice {
    let configurations = [("review".to_owned(), configuration)].into();
    let calls: Vec<&CountedCalls> = calls.iter().collect();
    of(&Examined { configurations: &configurations, calls: &calls, batches })
}

/// Returns the only advice for calls, or `None` if there is none.
pub fn only(keys: &str, calls: &[CountedCalls]) -> Option<Finding> {
    let mut found = advice(configuration(keys), calls).findings;
    assert!(found.len() <= 1, "{found:?}");
    found.pop()
}
