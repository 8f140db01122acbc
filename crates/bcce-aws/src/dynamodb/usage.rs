//! Usage counters. They add up the calls, tokens and cost of a day, by region and model.

use bcce_core::ledger::{usage_pk, usage_sk};
use bcce_core::run::manifest::UsageLine;
use time::OffsetDateTime;

use super::change::Change;
use super::item::number;

/// Returns the change that adds usage of one model in one region to the counters of the day. `id` is the id of the run
/// or part that ended at `ended_at`.
pub(super) fn count(ended_at: OffsetDateTime, id: &str, line: &UsageLine) -> Change {
    // Only known usage can be added. Calls whose usage is unknown have their own counters.
    let usage = line.totals.known_usage();
    let counters = [
        ("runs", number(line.runs)),
        ("calls", number(line.calls)),
        ("failed_calls", number(line.failed_calls)),
        ("rejected_calls", number(line.rejected_calls)),
        ("unknown_calls", number(line.unknown_calls)),
        ("unpriced_calls", number(line.unpriced_calls)),
        ("lost_calls", number(line.lost_calls)),
        ("input_tokens", number(usage.input_tokens)),
        ("output_tokens", number(usage.output_tokens)),
        ("cache_read_tokens", number(usage.cache_read_tokens)),
        ("cache_write_5m_tokens", number(usage.cache_write_5m_tokens)),
        ("cache_write_1h_tokens", number(usage.cache_write_1h_tokens)),
        ("cost_usd", number(line.totals.known_cost())),
    ];
    let key = (usage_pk(ended_at, id), usage_sk(&line.region, &line.model_id));
    Change::adding(key, counters.map(|(name, value)| (name.to_owned(), value)).into())
}
