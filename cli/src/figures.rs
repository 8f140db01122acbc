//! Formats numbers, times and costs for people.

use rust_decimal::Decimal;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

pub use bcce_core::base::figures::{count, dollars};
use bcce_core::base::usage::Usage;
use bcce_core::call::attempt::Totals;

const STAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");

/// Formats a time in UTC: `2026-11-01 12:00:00Z`.
pub fn stamp(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(STAMP).unwrap_or_default()
}

/// Formats a count with its noun: `1 step`, `2,000 steps`.
pub fn plural(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n as u64), if n == 1 { "" } else { "s" })
}

/// Formats milliseconds: `850 ms`, `12.3 s`, `2 m 03 s`, `1 h 02 m`.
pub fn milliseconds(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..100 => format!("{seconds}.{} s", ms % 1_000 / 100),
        100..3_600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Formats the time from one moment to a later one.
pub fn between(from: OffsetDateTime, to: OffsetDateTime) -> String {
    duration(to - from)
}

/// Formats a duration. A negative duration is formatted as 0.
pub fn duration(time: time::Duration) -> String {
    milliseconds(u64::try_from(time.whole_milliseconds()).unwrap_or(0))
}

/// Formats an amount in USD with four decimal places, such as `$0.0032`. A smaller positive amount is `<$0.0001`.
pub fn usd(amount: Decimal) -> String {
    let smallest = Decimal::new(1, 4);
    if amount > Decimal::ZERO && amount < smallest {
        return format!("<${smallest}");
    }
    format!("${:.4}", amount.round_dp(4))
}

/// Formats an amount in USD with all decimal places: `$0.0001705`, `$0`.
pub fn exact_usd(amount: Decimal) -> String {
    format!("${}", amount.normalize())
}

/// Formats a cost with all decimal places. An unknown part is shown as `unknown`.
pub fn exact_cost(totals: &Totals) -> String {
    match (totals.cost_usd, totals.priced_subtotal_usd) {
        (Some(cost), _) => exact_usd(cost),
        (None, Some(part)) if !part.is_zero() => format!("{} + unknown", exact_usd(part)),
        (None, _) => "unknown".into(),
    }
}

/// Formats a cost with four decimal places. An unknown part is shown as `unknown`.
pub fn cost(totals: &Totals) -> String {
    match (totals.cost_usd, totals.priced_subtotal_usd) {
        (Some(cost), _) => usd(cost),
        (None, Some(part)) => format!("{} + unknown", usd(part)),
        (None, None) => "unknown".into(),
    }
}

/// Formats a cost for a headline: with cents from a dollar on, rounded up, and below that as [`cost`] does.
pub fn rough_cost(totals: &Totals) -> String {
    let known = totals.known_cost();
    match (known < Decimal::ONE, totals.cost_usd) {
        (true, _) => cost(totals),
        (false, Some(_)) => dollars(known),
        (false, None) => format!("{} + unknown", dollars(known)),
    }
}

/// Formats the tokens: `1,204 tokens in, 312 out`. Tokens read from or written to the cache count as tokens in.
pub fn tokens(totals: &Totals) -> String {
    let usage = totals.usage.or(totals.known_usage).unwrap_or_default();
    let more = if totals.usage.is_none() { " + unknown" } else { "" };
    format!("{} tokens in, {} out{more}", count(tokens_in(&usage)), count(usage.output_tokens))
}

/// Counts the input tokens, including those read from and written to the cache.
pub fn tokens_in(usage: &Usage) -> u64 {
    usage.input_tokens
        + usage.cache_read_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 850, 12_345, 123_000, 3_720_000].map(milliseconds),
            ["0 ms", "850 ms", "12.3 s", "2 m 03 s", "1 h 02 m"]
        );
        let amounts =
            [Decimal::ZERO, Decimal::new(1, 6), Decimal::new(165, 5), Decimal::new(12, 0)];
        assert_eq!(amounts.map(usd), ["$0.0000", "<$0.0001", "$0.0016", "$12.0000"]);
        assert_eq!(
            [Decimal::new(170_500, 9), Decimal::new(0, 4)].map(exact_usd),
            ["$0.0001705", "$0"]
        );
        assert_eq!(stamp(datetime!(2026-11-01 13:00:05 +1)), "2026-11-01 12:00:05Z");
    }

    #[test]
    fn what_is_unknown_is_not_zero() {
        let totals = Totals { priced_subtotal_usd: Some(Decimal::new(5, 3)), ..Totals::default() };
        assert_eq!(cost(&totals), "$0.0050 + unknown");
        assert_eq!(exact_cost(&totals), "$0.005 + unknown");
        let nothing = Totals { priced_subtotal_usd: Some(Decimal::ZERO), ..Totals::default() };
        assert_eq!(exact_cost(&nothing), "unknown");
        let large = |cost_usd, part| {
            rough_cost(&Totals { cost_usd, priced_subtotal_usd: part, ..Totals::default() })
        };
        let usd = Some(Decimal::new(417_639, 4));
        assert_eq!([large(usd, None), large(None, usd)], ["$41.77", "$41.77 + unknown"]);
        assert_eq!(large(Some(Decimal::new(31, 4)), None), "$0.0031");
        assert_eq!(tokens(&totals), "0 tokens in, 0 out + unknown");
    }
}
