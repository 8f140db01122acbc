//! Describes how many calls a packed batch makes at a time. It makes fewer while a target throttles.

use bcce_core::batch::Rate;

/// Describes a rate: `12 of 20 calls at a time, us-east-1 us.anthropic.claude-haiku-5-5 throttles`.
pub fn describe(rate: &Rate) -> String {
    let throttled = match rate.throttled.as_slice() {
        [] => String::new(),
        [target] => format!(", {target} throttles"),
        targets => format!(", {} throttle", targets.join(" and ")),
    };
    format!("{} of {} calls at a time{throttled}", rate.calls, rate.most)
}

/// Returns true if a rate differs noticeably from `last`, the one that was last reported: other targets throttle, or it
/// has halved or doubled. The first one is noticeable if a target throttles.
pub fn is_noticeable(last: Option<&Rate>, rate: &Rate) -> bool {
    let Some(last) = last else { return !rate.throttled.is_empty() };
    let (low, high) = (last.calls.min(rate.calls), last.calls.max(rate.calls));
    let is_other =
        |targets: &[String], among: &[String]| targets.iter().any(|t| !among.contains(t));
    low * 2 <= high && low != high
        || is_other(&rate.throttled, &last.throttled)
        || is_other(&last.throttled, &rate.throttled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(calls: u32, throttled: &[&str]) -> Rate {
        let throttled = throttled.iter().map(|target| (*target).to_owned()).collect();
        Rate { calls, most: 20, throttled }
    }

    #[test]
    fn the_targets_that_throttle_are_named() {
        assert_eq!(describe(&rate(20, &[])), "20 of 20 calls at a time");
        assert_eq!(describe(&rate(9, &["r a"])), "9 of 20 calls at a time, r a throttles");
        assert!(describe(&rate(9, &["r a", "r b"])).ends_with(", r a and r b throttle"));
    }

    #[test]
    fn a_rate_is_noticed_when_it_changes_much() {
        let throttled = rate(10, &["r a"]);
        assert!(!is_noticeable(None, &rate(8, &[])), "a batch begins with few calls");
        assert!(is_noticeable(None, &throttled));
        assert!(!is_noticeable(Some(&throttled), &rate(11, &["r a"])));
        assert!(!is_noticeable(Some(&throttled), &throttled));
        assert!(is_noticeable(Some(&throttled), &rate(5, &["r a"])));
        assert!(is_noticeable(Some(&throttled), &rate(20, &["r a"])));
        assert!(is_noticeable(Some(&throttled), &rate(10, &["r a", "r b"])));
        assert!(is_noticeable(Some(&throttled), &rate(11, &[])), "it throttles no more");
        let several = rate(10, &["r a", "r b"]);
        assert!(!is_noticeable(Some(&several), &rate(10, &["r b", "r a"])));
    }
}
