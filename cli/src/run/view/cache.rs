//! Describes what the prompt cache did for the calls of a step.

use bcce_core::call::attempt::Attempt;
use bcce_core::call::cache_use::CacheUse;
use rust_decimal::Decimal;

use crate::figures;

/// Describes one call: what the cache saved and cost, or why the prefix was not cached. Returns `None` for a call
/// without a cached prefix.
pub fn of(attempt: &Attempt) -> Option<String> {
    let (cache, usage) = (attempt.cache?, attempt.usage?);
    cache.not_cached(&usage).or_else(|| amounts(&[cache], figures::exact_usd))
}

/// Describes the calls of a step: what the cache saved and cost in all, or why the last call cached nothing. Returns
/// `None` if no call has a cached prefix.
pub fn of_all(attempts: &[&Attempt]) -> Option<String> {
    let cached: Vec<&&Attempt> =
        attempts.iter().filter(|attempt| attempt.cache.is_some()).collect();
    let last = of(cached.last()?)?;
    let is_used = |attempt: &&&Attempt| {
        let used = attempt.cache.zip(attempt.usage);
        used.is_some_and(|(cache, usage)| cache.not_cached(&usage).is_none())
    };
    let used: Vec<CacheUse> = cached.into_iter().filter(is_used).filter_map(|a| a.cache).collect();
    if used.is_empty() { Some(last) } else { amounts(&used, figures::usd) }
}

/// Formats the sums of what reads saved and writes cost in addition.
fn amounts(calls: &[CacheUse], usd: fn(Decimal) -> String) -> Option<String> {
    let saved: Option<Decimal> = calls.iter().map(|cache| cache.saved_usd).sum();
    let extra: Option<Decimal> = calls.iter().map(|cache| cache.extra_usd).sum();
    Some(match (saved, extra) {
        (Some(saved), Some(extra)) => {
            format!("reads saved {}, writes cost {} more than input", usd(saved), usd(extra))
        }
        _ => "the saving is unknown: the model has no price".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::samples::answer;
    use bcce_core::base::usage::Usage;

    fn attempt() -> Attempt {
        serde_json::from_value(answer("us-east-1")).unwrap()
    }

    fn call(read: u64, saved: Option<i64>) -> Attempt {
        let cache = CacheUse {
            prefix_tokens: 900,
            minimum_tokens: 1_024,
            saved_usd: saved.map(|mills| Decimal::new(mills, 4)),
            extra_usd: saved.map(|_| Decimal::ZERO),
        };
        let usage = Usage { input_tokens: 1_000, cache_read_tokens: read, ..Usage::default() };
        Attempt { usage: Some(usage), cache: Some(cache), ..attempt() }
    }

    #[test]
    fn a_call_says_what_the_cache_saved_or_why_it_did_not() {
        let read = call(2_000, Some(23));
        let saved = "reads saved $0.0023, writes cost $0 more than input";
        assert_eq!(of(&read).as_deref(), Some(saved));
        let short = "the prefix of about 900 tokens is below the minimum of 1,024: not cached";
        assert_eq!(of(&call(0, Some(0))).as_deref(), Some(short));
        let unknown = "the saving is unknown: the model has no price";
        assert_eq!(of(&call(5, None)).as_deref(), Some(unknown));
        assert_eq!(of(&attempt()), None);
    }

    #[test]
    fn a_step_says_the_sum_of_its_calls() {
        let (one, other, plain) = (call(2_000, Some(23)), call(1_000, Some(7)), attempt());
        let sum = "reads saved $0.0030, writes cost $0.0000 more than input";
        assert_eq!(of_all(&[&one, &plain, &other]).as_deref(), Some(sum));
        assert!(of_all(&[&call(0, Some(0))]).unwrap().ends_with("not cached"));
        assert_eq!(of_all(&[&plain]), None);
    }
}
