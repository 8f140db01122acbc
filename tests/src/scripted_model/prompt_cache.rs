//! The prompt cache of each region, as the service keeps it for cache points.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

use super::path::Operation;

/// The largest number of cache points in a request.
const MOST_POINTS: usize = 4;
/// The fewest tokens that are cached, by a part of the model id. The first row that fits applies.
const MINIMUM: &[(&str, u64)] = &[("haiku-4-5", 4_096), ("", 1_024)];

/// A cache point of a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub struct CachePoint {
    #[serde(default)]
    ttl: Ttl,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, PartialOrd)]
enum Ttl {
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

impl Ttl {
    fn milliseconds(self) -> u64 {
        match self {
            Self::FiveMinutes => 300_000,
            Self::Hour => 3_600_000,
        }
    }
}

/// The text before a cache point.
#[derive(Clone, Debug, PartialEq)]
pub struct Prefix {
    digest: String,
    tokens: u64,
    ttl: Ttl,
}

/// Returns the prefixes of a request. `blocks` are its texts and cache points in order, and `tokens` counts those of a
/// text.
///
/// # Errors
/// The message with which the service refuses too many points, or a longer lifetime after a shorter one.
pub fn prefixes(
    blocks: impl Iterator<Item = (Option<String>, Option<CachePoint>)>,
    tokens: impl Fn(&str) -> u64,
) -> Result<Vec<Prefix>, String> {
    let mut prefixes: Vec<Prefix> = Vec::new();
    let mut text = String::new();
    for (written, point) in blocks {
        // The end of a block counts: the same text in other blocks is another prefix.
        text.extend(written.into_iter().flat_map(|written| [written, "\0".to_owned()]));
        let Some(CachePoint { ttl }) = point else { continue };
        if prefixes.last().is_some_and(|before| before.ttl < ttl) {
            return Err("a ttl='1h' cache point must not come after a ttl='5m' cache point".into());
        }
        let (digest, tokens) = (digest(&text), tokens(&text.replace('\0', "\n")));
        prefixes.push(Prefix { digest, tokens, ttl });
    }
    match prefixes.len() {
        0..=MOST_POINTS => Ok(prefixes),
        found => {
            Err(format!("A maximum of {MOST_POINTS} cache points may be provided. Found {found}."))
        }
    }
}

/// The tokens of a call that are read from the cache and written to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cached {
    pub read: u64,
    pub written_5m: u64,
    pub written_1h: u64,
}

/// The end of each entry, in milliseconds since 1970, by region, model and digest.
#[derive(Default)]
pub struct PromptCache(HashMap<(String, String, String), u64>);

impl PromptCache {
    /// Reads the longest prefix that a region has, and writes the longer ones.
    pub fn take(&mut self, operation: &Operation, prefixes: &[Prefix], now: u64) -> Cached {
        let Operation { region, model_id, .. } = operation;
        let minimum = MINIMUM.iter().find(|(part, _)| model_id.contains(part));
        let minimum = minimum.map_or(0, |(_, tokens)| *tokens);
        let key = |prefix: &Prefix| (region.clone(), model_id.clone(), prefix.digest.clone());
        let long = prefixes.iter().filter(|prefix| prefix.tokens >= minimum);
        let is_warm = |prefix: &&Prefix| self.0.get(&key(prefix)).is_some_and(|until| *until > now);
        let read = long.clone().filter(is_warm).map(|prefix| prefix.tokens).max().unwrap_or(0);
        let mut cached = Cached { read, ..Cached::default() };
        let mut so_far = read;
        for prefix in long {
            self.0.insert(key(prefix), now + prefix.ttl.milliseconds());
            let more = prefix.tokens.saturating_sub(so_far);
            so_far += more;
            match prefix.ttl {
                Ttl::FiveMinutes => cached.written_5m += more,
                Ttl::Hour => cached.written_1h += more,
            }
        }
        cached
    }
}

/// Returns a short key of a text.
fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(region: &str, model_id: &str) -> Operation {
        Operation { region: region.into(), model_id: model_id.into(), stream: true }
    }

    /// Returns the prefixes of texts of so many tokens, each with its lifetime.
    fn of(points: &[(usize, Ttl)]) -> Result<Vec<Prefix>, String> {
        let blocks = points.iter().flat_map(|(length, ttl)| {
            let point = CachePoint { ttl: *ttl };
            [(Some("x".repeat(*length)), None), (None, Some(point))]
        });
        prefixes(blocks, |text| text.trim_end().replace('\n', "").len() as u64)
    }

    use Ttl::{FiveMinutes, Hour};

    #[test]
    fn the_longest_warm_prefix_is_read_and_the_rest_is_written() {
        let mut cache = PromptCache::default();
        let east = operation("us-east-1", "m");
        let (one, two) =
            (of(&[(2_000, Hour)]).unwrap(), of(&[(2_000, Hour), (500, FiveMinutes)]).unwrap());
        let written = Cached { written_1h: 2_000, ..Cached::default() };
        assert_eq!(cache.take(&east, &one, 0), written);
        let both = Cached { read: 2_000, written_5m: 500, written_1h: 0 };
        assert_eq!(cache.take(&east, &two, 1), both);
        assert_eq!(cache.take(&east, &two, 2), Cached { read: 2_500, ..Cached::default() });
        // After five minutes only the entry for an hour is left.
        assert_eq!(cache.take(&east, &two, 300_003), both);
        for (region, model) in [("us-west-2", "m"), ("us-east-1", "other")] {
            assert_eq!(cache.take(&operation(region, model), &one, 3), written, "{region} {model}");
        }
    }

    #[test]
    fn a_short_prefix_is_not_cached() {
        let mut cache = PromptCache::default();
        for model in ["us.anthropic.claude-haiku-4-5", "m"] {
            let short = of(&[(if model == "m" { 1_023 } else { 4_095 }, Hour)]).unwrap();
            assert_eq!(cache.take(&operation("r", model), &short, 0), Cached::default(), "{model}");
        }
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        let five = of(&[(1, Hour); 5]).unwrap_err();
        assert_eq!(five, "A maximum of 4 cache points may be provided. Found 5.");
        assert!(of(&[(1, FiveMinutes), (1, Hour)]).unwrap_err().contains("must not come after"));
        assert!(of(&[(1, Hour), (1, FiveMinutes)]).is_ok());
    }
}
