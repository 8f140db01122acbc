//! Usage of three days for the tests: two workflows, one of which failed over, and calls whose cost is unknown.

use bcce_core::base::histogram::Histogram;
use bcce_core::base::platform::Charge;
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::usage::{Allocation, CountedCalls, CountedRuns, DayOfUsage};
use bcce_core::run::manifest::{Detail, RunCounts, StepUsage, UsageLine};
use time::Date;
use time::macros::date;

use crate::metrics::dimension::{Dimension, Filters};
use crate::metrics::period::Period;
use crate::metrics::{Form, Selected};

const HAIKU: &str = "us.anthropic.claude-haiku-5-5";
const SONNET: &str = "us.anthropic.claude-sonnet-5-5";

fn allocation(workflow: &str) -> Allocation {
    let team = if workflow == "explain" { "search" } else { "payments" };
    Allocation {
        tenant: "default".into(),
        workflow: workflow.into(),
        cost_tags: [("team".to_owned(), team.to_owned())].into(),
    }
}

/// Returns answered calls that took these times.
fn calls(day: Date, workflow: &str, model_id: &str, cost: &str, times: &[u64]) -> CountedCalls {
    let count = times.len() as u64;
    let usage = Usage {
        input_tokens: 1_200 * count,
        output_tokens: 300 * count,
        cache_read_tokens: 800 * count,
        ..Usage::default()
    };
    let mut detail = Detail::default();
    times.iter().for_each(|time| {
        detail.answer.record(*time);
        detail.first_token.record(time / 4);
    });
    CountedCalls {
        allocation: allocation(workflow),
        usage: StepUsage {
            day,
            step: "answer".into(),
            tier: "default".into(),
            long_prompt: false,
            line: UsageLine {
                region: "us-east-1".into(),
                model_id: model_id.into(),
                calls: count,
                totals: Totals::counted(usage, cost.parse().unwrap(), (0, 0), model_id),
                ..UsageLine::default()
            },
            detail,
        },
    }
}

fn runs(day: Date, workflow: &str, succeeded: u64, errors: &[(&str, u64)]) -> CountedRuns {
    let failed = errors.iter().map(|(_, runs)| runs).sum();
    let errors = errors.iter().map(|(name, runs)| ((*name).to_owned(), *runs)).collect();
    let runs = RunCounts { succeeded, failed, cancelled: 0, errors };
    let all = runs.all();
    let taken = [(Charge::Transitions, 12), (Charge::FunctionCalls, 6), (Charge::S3Reads, 7)];
    CountedRuns {
        allocation: allocation(workflow),
        day,
        runs,
        platform: taken.map(|(charge, count)| (charge, count * all)).into_iter().collect(),
        platform_runs: all,
    }
}

/// Returns the usage of three days. There is none on the second day.
pub fn days() -> Vec<DayOfUsage> {
    let (first, last) = (date!(2026 - 11 - 01), date!(2026 - 11 - 03));
    let mut failed = calls(last, "review", SONNET, "0.011", &[8_000, 9_000]);
    let line = &mut failed.usage.line;
    (line.calls, line.failed_calls, line.lost_calls) = (8, 5, 1);
    (line.unknown_calls, line.unpriced_calls) = (3, 5);
    let known = (line.totals.known_usage(), line.totals.known_cost());
    line.totals = Totals::counted(known.0, known.1, (3, 5), SONNET);
    let errors = [("Bcce.TargetThrottled", 3), ("Bcce.TargetBroken", 1)];
    failed.usage.detail = Detail {
        failed_cost_usd: "0.002".parse().unwrap(),
        cache_saved_usd: "0.0031".parse().unwrap(),
        cache_extra_usd: "0.0004".parse().unwrap(),
        errors: errors.map(|(name, calls)| (name.to_owned(), calls)).into(),
        first_token: Histogram::default(),
        ..failed.usage.detail
    };
    let days = [
        DayOfUsage {
            calls: vec![calls(first, "explain", HAIKU, "0.0123", &[400, 420, 500])],
            runs: vec![runs(first, "explain", 3, &[])],
            unknown: vec![],
        },
        DayOfUsage {
            calls: vec![calls(last, "explain", HAIKU, "0.0041", &[450]), failed],
            runs: vec![
                runs(last, "explain", 1, &[]),
                runs(last, "review", 1, &[("Bcce.NoTarget", 2)]),
                runs(last, "", 0, &[("Bcce.PolicyViolation", 1)]),
            ],
            unknown: vec!["usage#2026-11-03#7 us-east-1#us.m".into()],
        },
    ];
    days.into()
}

/// Returns the usage of the three days, as a command selects it.
pub fn selected(by: Dimension) -> Selected {
    Selected {
        environment: "dev".into(),
        period: Period { from: date!(2026 - 11 - 01), to: date!(2026 - 11 - 03) },
        by,
        filters: Filters::default(),
        form: Form::Text,
        days: days(),
        before: None,
        platform: None,
    }
}
