//! The `response_cache` of a step: how long an answer may answer the same call again.

use std::time::Duration;

/// The shortest and the longest time, in seconds: one minute and thirty days. An older answer is seldom what the models
/// of today would say.
const BOUNDS_S: std::ops::RangeInclusive<u64> = 60..=30 * 86_400;

/// Parses a time such as `30m`, `12h` or `7d`.
///
/// # Errors
/// Returns what is expected, if `text` has another form or is out of bounds.
pub fn parse(text: &str) -> Result<Duration, String> {
    let expected = || format!("must be a time from 1m to 30d, such as 30m, 12h or 7d, is {text}");
    let seconds = text.chars().last().and_then(|unit| match unit {
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    });
    let count = seconds.and_then(|_| text[..text.len() - 1].parse::<u64>().ok());
    let time = seconds.zip(count).and_then(|(seconds, count)| count.checked_mul(seconds));
    let time = time.filter(|seconds| BOUNDS_S.contains(seconds));
    time.map(Duration::from_secs).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_bounds() {
        for (text, seconds) in [("1m", 60), ("30m", 1_800), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "7", "d", "0m", "31d", "721h", "90s", "-1d", "1.5d", "7 d", "5é"] {
            let cause = parse(wrong).unwrap_err();
            assert!(cause.starts_with("must be a time from 1m to 30d, such as"), "{cause}");
        }
        assert!(parse("99999999999999999999d").is_err() && parse("1000000000000000000d").is_err());
    }
}
