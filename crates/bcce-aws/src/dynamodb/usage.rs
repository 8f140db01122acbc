//! Usage counters: the calls, tokens, costs and times of a day, and its runs. [`bcce_core::ledger::usage`] describes
//! what a counter adds up.

use std::collections::BTreeMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use bcce_core::base::error::Fault;
use bcce_core::base::histogram::Histogram;
use bcce_core::base::platform::{Charge, PlatformUse};
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;
use bcce_core::ledger::usage::{
    Allocation, CALLS, CountedCalls, CountedRuns, DayOfUsage, RUNS, ToCount, usage_shard,
};
use bcce_core::run::manifest::{Detail, RunCounts, StepUsage, UsageLine};
use time::Date;

use super::Ledger;
use super::change::{Change, Write};
use super::item::{Item, number, number_of, text, text_of};

/// The prefixes of the counters of errors by name, of what runs take of AWS, and of the buckets of the histograms. Those
/// of buckets are short, because DynamoDB charges a write by the size of the item.
const ERROR: &str = "error:";
const PLATFORM: &str = "aws:";
const PLATFORM_RUNS: &str = "aws_runs";
const FIRST_TOKEN: &str = "f";
const ANSWER: &str = "a";
const ANSWER_TOKENS: &str = "o";

/// The most usage counters of one transaction. It has room for the three other writes that count a run or a part.
const MOST: usize = 96;

impl Ledger {
    /// Reads a shard of the counters of a day. The read is eventually consistent: a run that ended within the last
    /// second may be missing.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger cannot be read.
    pub async fn usage(&self, day: Date, shard: char) -> Result<DayOfUsage, Fault> {
        let mut found = DayOfUsage::default();
        for item in self.found("dynamodb:Query usage", &usage_shard(day, shard), false).await? {
            let sk = text_of(&item, "sk").map_or("", String::as_str);
            let calls = sk.starts_with(CALLS).then(|| calls_of(day, &item)).flatten();
            let runs = sk.starts_with(RUNS).then(|| runs_of(day, &item)).flatten();
            if calls.is_none() && runs.is_none() {
                found.unknown.push(format!("{} {sk}", usage_shard(day, shard)));
            }
            found.calls.extend(calls);
            found.runs.extend(runs);
        }
        Ok(found)
    }

    /// Returns the changes that add calls and runs to the counters, as many as a transaction holds together with a
    /// record. Adds the rest before, in transactions of their own with a marker each, so that a repeated call adds
    /// nothing twice. `id` is the id of the run or part, and `marker_key` returns the key of the marker of a piece.
    pub(super) async fn count_usage(
        &self,
        id: &str,
        counted: &ToCount,
        marker_key: impl Fn(usize) -> (String, String),
    ) -> Result<Vec<Change>, Fault> {
        let mut changes = changes(id, counted);
        let mut piece = 0;
        while changes.len() > MOST {
            let rest = changes.split_off(MOST);
            let marker = [("counted".to_owned(), AttributeValue::Bool(true))].into();
            let marker =
                Change::setting(marker_key(piece), marker, "attribute_not_exists(#counted)");
            let writes = [marker].into_iter().chain(changes).map(Write::Change).collect();
            // A marker that exists means that an earlier call has added the piece.
            self.write_all("dynamodb:TransactWriteItems usage", writes, id).await?;
            (changes, piece) = (rest, piece + 1);
        }
        Ok(changes)
    }
}

/// Returns the changes that add calls and runs to the counters. `id` selects the shard.
pub(super) fn changes(id: &str, counted: &ToCount) -> Vec<Change> {
    let calls = counted.calls.iter().map(|calls| {
        Change::adding_to(calls.key(id), calls_item(calls), calls_counters(&calls.usage))
    });
    let runs = counted.runs.iter().map(|runs| {
        Change::adding_to(runs.key(id), allocation_item(&runs.allocation), run_counters(runs))
    });
    calls.chain(runs).collect()
}

fn allocation_item(allocation: &Allocation) -> Item {
    let mut item = Item::new();
    item.insert("tenant".into(), text(&allocation.tenant));
    item.insert("workflow".into(), text(&allocation.workflow));
    if !allocation.cost_tags.is_empty() {
        let tags = allocation.cost_tags.iter().map(|(tag, value)| (tag.clone(), text(value)));
        item.insert("cost_tags".into(), AttributeValue::M(tags.collect()));
    }
    item
}

fn allocation_of(item: &Item) -> Option<Allocation> {
    let string = |name| text_of(item, name).cloned();
    let tags = item.get("cost_tags").and_then(|value| value.as_m().ok()).into_iter().flatten();
    Some(Allocation {
        tenant: string("tenant")?,
        workflow: string("workflow")?,
        cost_tags: tags
            .map(|(tag, value)| Some((tag.clone(), value.as_s().ok()?.clone())))
            .collect::<Option<_>>()?,
    })
}

fn calls_item(calls: &CountedCalls) -> Item {
    let StepUsage { step, tier, long_prompt, line, .. } = &calls.usage;
    let mut item = allocation_item(&calls.allocation);
    let texts =
        [("step", step), ("region", &line.region), ("model_id", &line.model_id), ("tier", tier)];
    item.extend(texts.map(|(name, value)| (name.to_owned(), text(value))));
    if let Some(model) = &line.profile_model {
        item.insert("profile_model".into(), text(model));
    }
    if *long_prompt {
        item.insert("long_prompt".into(), AttributeValue::Bool(true));
    }
    item
}

type Counters = Vec<(String, AttributeValue)>;

fn calls_counters(StepUsage { line, detail, .. }: &StepUsage) -> Counters {
    // Only known usage can be added. Calls whose usage is unknown have their own counters.
    let usage = line.totals.known_usage();
    let counts = [
        ("calls", line.calls),
        ("failed_calls", line.failed_calls),
        ("rejected_calls", line.rejected_calls),
        ("unknown_calls", line.unknown_calls),
        ("unpriced_calls", line.unpriced_calls),
        ("lost_calls", line.lost_calls),
        ("input_tokens", usage.input_tokens),
        ("output_tokens", usage.output_tokens),
        ("cache_read_tokens", usage.cache_read_tokens),
        ("cache_write_5m_tokens", usage.cache_write_5m_tokens),
        ("cache_write_1h_tokens", usage.cache_write_1h_tokens),
        ("cut_answers", detail.cut_answers),
        ("failed_over_ms", detail.failed_over_ms),
    ];
    let amounts = [
        ("cost_usd", line.totals.known_cost()),
        ("failed_cost_usd", detail.failed_cost_usd),
        ("cache_saved_usd", detail.cache_saved_usd),
        ("cache_extra_usd", detail.cache_extra_usd),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let amounts = amounts.into_iter().filter(|(_, amount)| !amount.is_zero());
    let histograms = [
        (FIRST_TOKEN, &detail.first_token),
        (ANSWER, &detail.answer),
        (ANSWER_TOKENS, &detail.answer_tokens),
    ];
    let buckets = histograms.into_iter().flat_map(|(prefix, of)| buckets(prefix, of));
    counts
        .map(|(name, count)| (name.to_owned(), number(count)))
        .chain(amounts.map(|(name, amount)| (name.to_owned(), number(amount))))
        .chain(error_counters(&detail.errors))
        .chain(buckets)
        .collect()
}

fn buckets(prefix: &str, histogram: &Histogram) -> impl Iterator<Item = (String, AttributeValue)> {
    histogram.buckets().map(move |(bucket, times)| (format!("{prefix}{bucket}"), number(times)))
}

fn run_counters(CountedRuns { runs, platform, platform_runs, .. }: &CountedRuns) -> Counters {
    let counts = [
        ("succeeded", runs.succeeded),
        ("failed", runs.failed),
        ("cancelled", runs.cancelled),
        (PLATFORM_RUNS, *platform_runs),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let counts = counts.map(|(name, count)| (name.to_owned(), number(count)));
    let taken = platform.iter();
    let taken = taken.map(|(charge, count)| (platform_name(charge), number(count)));
    counts.chain(error_counters(&runs.errors)).chain(taken).collect()
}

fn platform_name(charge: Charge) -> String {
    format!("{PLATFORM}{}", charge.name())
}

fn error_counters(
    errors: &BTreeMap<String, u64>,
) -> impl Iterator<Item = (String, AttributeValue)> {
    errors.iter().map(|(name, count)| (format!("{ERROR}{name}"), number(*count)))
}

/// Reads counted calls. Returns `None` if the item is not a counter of this version.
fn calls_of(day: Date, item: &Item) -> Option<CountedCalls> {
    let string = |name| text_of(item, name).cloned();
    let count = |name| counter(item, name);
    let usage = Usage {
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        cache_read_tokens: count("cache_read_tokens")?,
        cache_write_5m_tokens: count("cache_write_5m_tokens")?,
        cache_write_1h_tokens: count("cache_write_1h_tokens")?,
    };
    let (unknown_calls, unpriced_calls) = (count("unknown_calls")?, count("unpriced_calls")?);
    let model_id = string("model_id")?;
    let line = UsageLine {
        region: string("region")?,
        profile_model: string("profile_model"),
        runs: 0,
        calls: number_of(item, "calls")?,
        failed_calls: count("failed_calls")?,
        rejected_calls: count("rejected_calls")?,
        unknown_calls,
        unpriced_calls,
        lost_calls: count("lost_calls")?,
        totals: Totals::counted(
            usage,
            counter(item, "cost_usd")?,
            (unknown_calls, unpriced_calls),
            &model_id,
        ),
        model_id,
    };
    let detail = Detail {
        failed_cost_usd: counter(item, "failed_cost_usd")?,
        cache_saved_usd: counter(item, "cache_saved_usd")?,
        cache_extra_usd: counter(item, "cache_extra_usd")?,
        errors: errors_of(item)?,
        first_token: histogram_of(item, FIRST_TOKEN)?,
        answer: histogram_of(item, ANSWER)?,
        answer_tokens: histogram_of(item, ANSWER_TOKENS)?,
        cut_answers: counter(item, "cut_answers")?,
        failed_over_ms: counter(item, "failed_over_ms")?,
    };
    // A lost call has failed, and its usage and cost are unknown. Sums of other numbers would make no sense.
    let are_parts = line.lost_calls <= line.failed_calls.min(line.unknown_calls)
        && line.failed_calls <= line.calls
        && line.unknown_calls <= line.unpriced_calls
        && line.unpriced_calls <= line.calls;
    if !are_parts {
        return None;
    }
    let long_prompt = item.contains_key("long_prompt");
    let (step, tier) = (string("step")?, string("tier")?);
    let usage = StepUsage { day, step, tier, long_prompt, line, detail };
    Some(CountedCalls { allocation: allocation_of(item)?, usage })
}

fn runs_of(day: Date, item: &Item) -> Option<CountedRuns> {
    let runs = RunCounts {
        succeeded: counter(item, "succeeded")?,
        failed: counter(item, "failed")?,
        cancelled: counter(item, "cancelled")?,
        errors: errors_of(item)?,
    };
    let taken = Charge::ALL.map(|charge| Some((charge, counter(item, &platform_name(charge))?)));
    let platform = taken.into_iter().collect::<Option<PlatformUse>>()?;
    let platform_runs = counter(item, PLATFORM_RUNS)?;
    if platform_runs > runs.all() {
        return None;
    }
    Some(CountedRuns { allocation: allocation_of(item)?, day, runs, platform, platform_runs })
}

/// Reads a counter, which an item does not have if it is 0. Returns `None` if it is not a number.
fn counter<T: FromStr + Default>(item: &Item, name: &str) -> Option<T> {
    if item.contains_key(name) { number_of(item, name) } else { Some(T::default()) }
}

fn errors_of(item: &Item) -> Option<BTreeMap<String, u64>> {
    let names = item.keys().filter_map(|name| Some((name, name.strip_prefix(ERROR)?)));
    names.map(|(name, error)| Some((error.to_owned(), number_of(item, name)?))).collect()
}

/// Reads a histogram. Other attributes begin with the same letter, but no number follows it. Returns `None` if a bucket
/// is not a number.
fn histogram_of(item: &Item, prefix: &str) -> Option<Histogram> {
    let bucket = |name: &String| Some((name.strip_prefix(prefix)?.parse().ok()?, name.clone()));
    let mut histogram = Histogram::default();
    for (bucket, name) in item.keys().filter_map(bucket) {
        histogram.add_to(bucket, number_of(item, &name)?);
    }
    Some(histogram)
}

#[cfg(test)]
mod tests;
