//! The use of the prompt cache by a call, as its attempt records it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::base::figures::count;
use crate::base::usage::Usage;
use crate::config::pricing::CacheEffect;

/// The use of the prompt cache by a call with cache points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheUse {
    /// The tokens of the longest prefix that the call marks: those that were read from or written to the cache. If
    /// there are none, an estimate by the share of the prefix in the bytes of the prompt.
    pub prefix_tokens: u64,
    /// The fewest tokens of a prefix that the target caches.
    pub minimum_tokens: u64,
    /// The amount in USD by which the tokens that were read cost less than input. `None` if there is no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_usd: Option<Decimal>,
    /// The amount in USD by which the tokens that were written cost more than input. `None` if there is no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_usd: Option<Decimal>,
}

/// The bytes of a prompt, and of its longest cached prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixBytes {
    pub prefix: u64,
    pub whole: u64,
}

impl CacheUse {
    /// Returns the use of the cache by a call with this usage. Returns `None` if the service did not process a prompt
    /// with a cached prefix.
    pub fn of(
        bytes: PrefixBytes,
        minimum_tokens: u64,
        usage: &Usage,
        effect: Option<CacheEffect>,
    ) -> Option<Self> {
        let all = usage.prompt_tokens();
        if all == 0 || bytes.prefix == 0 {
            return None;
        }
        let estimate = all * bytes.prefix / bytes.whole.max(1);
        Some(Self {
            prefix_tokens: Some(cached(usage)).filter(|tokens| *tokens > 0).unwrap_or(estimate),
            minimum_tokens,
            saved_usd: effect.map(|effect| effect.saved_usd),
            extra_usd: effect.map(|effect| effect.extra_usd),
        })
    }

    /// Says why the service cached nothing. Returns `None` if it did cache a prefix. `usage` is that of the call.
    pub fn not_cached(&self, usage: &Usage) -> Option<String> {
        let Self { prefix_tokens, minimum_tokens, .. } = *self;
        if cached(usage) > 0 {
            return None;
        }
        let (prefix, minimum) = (count(prefix_tokens), count(minimum_tokens));
        Some(if prefix_tokens < minimum_tokens {
            format!(
                "the prefix of about {prefix} tokens is below the minimum of {minimum}: not cached"
            )
        } else {
            format!(
                "the service did not cache the prefix of about {prefix} tokens (minimum: {minimum})"
            )
        })
    }
}

/// Returns the tokens that were read from the cache or written to it.
fn cached(usage: &Usage) -> u64 {
    usage.prompt_tokens() - usage.input_tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(usage: &Usage) -> Option<CacheUse> {
        let effect = CacheEffect { saved_usd: Decimal::new(5, 3), extra_usd: Decimal::ZERO };
        CacheUse::of(PrefixBytes { prefix: 300, whole: 400 }, 1_024, usage, Some(effect))
    }

    #[test]
    fn what_was_read_and_written_is_the_prefix() {
        let usage = Usage {
            input_tokens: 10,
            cache_read_tokens: 2_000,
            cache_write_1h_tokens: 500,
            ..Usage::default()
        };
        let used = used(&usage).unwrap();
        assert_eq!((used.prefix_tokens, used.saved_usd), (2_500, Some(Decimal::new(5, 3))));
        assert_eq!(used.not_cached(&usage), None);
    }

    #[test]
    fn a_prefix_that_is_not_cached_says_why() {
        let says = |input_tokens| {
            let usage = Usage { input_tokens, ..Usage::default() };
            used(&usage).and_then(|used| used.not_cached(&usage))
        };
        let short = "the prefix of about 750 tokens is below the minimum of 1,024: not cached";
        assert_eq!(says(1_000).as_deref(), Some(short));
        let long = "the service did not cache the prefix of about 3,000 tokens (minimum: 1,024)";
        assert_eq!(says(4_000).as_deref(), Some(long));
        assert_eq!(says(0), None, "the service refused the call");
    }
}
