//! The key `cache` of a step: the prefixes of its prompt that the service keeps in its prompt cache.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::error::Problems;
use crate::document::prompt::marks::{marked, static_text};

/// The bytes per token of a dense text, such as code. The estimate gives too many tokens rather than too few.
const DENSE_BYTES_PER_TOKEN: u64 = 3;

/// Returns the most tokens that a text of `bytes` bytes is expected to have.
pub fn dense_tokens(bytes: usize) -> u64 {
    bytes as u64 / DENSE_BYTES_PER_TOKEN
}

/// The largest number of cache points in a request.
pub const MAX_CACHE_POINTS: usize = 4;

/// The prompt cache of a step, written as its lifetime alone or as an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    pub ttl: CacheTtl,
    pub prefix: Option<CachePrefix>,
}

/// The lifetime of an entry in the service's prompt cache, from the shorter to the longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CacheTtl {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
}

/// The choice of a prefix of `prompt` that has no marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CachePrefix {
    /// The text before the first `{{ }}` or `{% %}`, if it is long enough for the target.
    Auto,
}

/// A cached prefix as templates: the part of `system` and the part of `prompt` that it consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedPrefix<'a> {
    pub system: &'a str,
    pub prompt: &'a str,
}

impl CacheTtl {
    /// Returns the lifetime as a duration.
    pub fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes => Duration::from_secs(300),
            Self::Hour => Duration::from_secs(3_600),
        }
    }

    /// Returns the lifetime as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }
}

impl Cache {
    /// Returns the cached prefixes of a step, from the shortest to the longest.
    pub fn prefixes<'a>(&self, system: Option<&'a str>, prompt: &'a str) -> Vec<CachedPrefix<'a>> {
        let of_system = |system| CachedPrefix { system, prompt: "" };
        let marks = system.map(marked).unwrap_or_default();
        let unmarked = system.filter(|_| marks.is_empty());
        let mut prefixes: Vec<_> = marks.into_iter().chain(unmarked).map(of_system).collect();
        let marks = marked(prompt);
        let start = match self.prefix {
            Some(CachePrefix::Auto) if marks.is_empty() => static_text(prompt),
            _ => "",
        };
        let start = Some(start).filter(|start| !start.trim().is_empty());
        let system = system.unwrap_or_default();
        let of_prompt = |prompt| CachedPrefix { system, prompt };
        prefixes.extend(marks.into_iter().chain(start).map(of_prompt));
        prefixes
    }

    /// Checks that the step has a prefix to cache, and not too many.
    pub fn check(&self, field: &str, system: Option<&str>, prompt: &str) -> Problems {
        let mut problems = Problems::default();
        let points = self.prefixes(system, prompt).len();
        let cause = "caches nothing: give the step a `system`, mark the end of a prefix of `prompt` by `| cached`, or \
                     begin `prompt` with static text and set `prefix: auto`";
        problems.check(points > 0, field, cause);
        let cause = format!(
            "has {points} cached prefixes (limit: {MAX_CACHE_POINTS}): each `| cached` is one, and so is a `system` \
             without a mark"
        );
        problems.check(points <= MAX_CACHE_POINTS, field, cause);
        let is_either = self.prefix.is_none() || marked(prompt).is_empty();
        let cause = "is `auto`, but `prompt` has marks (`| cached`); use one of the two";
        problems.check(is_either, format!("{field}.prefix"), cause);
        problems
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.prefix {
            None => self.ttl.serialize(serializer),
            prefix => Written { ttl: self.ttl, prefix }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Cache {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reads)
    }
}

/// A [`Cache`] as an object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ttl: CacheTtl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<CachePrefix>,
}

struct Reads;

impl<'de> Visitor<'de> for Reads {
    type Value = Cache;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("5m, 1h, or an object with `ttl` and `prefix`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cache, E> {
        let ttl = match text {
            "5m" => CacheTtl::FiveMinutes,
            "1h" => CacheTtl::Hour,
            other => return Err(E::unknown_variant(other, &["5m", "1h"])),
        };
        Ok(Cache { ttl, prefix: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cache, A::Error> {
        let Written { ttl, prefix } = Written::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Cache { ttl, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HOUR: Cache = Cache { ttl: CacheTtl::Hour, prefix: None };
    const AUTO: Cache = Cache { prefix: Some(CachePrefix::Auto), ..HOUR };

    #[test]
    fn a_lifetime_alone_stays_a_lifetime_and_an_object_may_say_more() {
        for (written, cache) in
            [(json!("1h"), HOUR), (json!({ "ttl": "1h", "prefix": "auto" }), AUTO)]
        {
            assert_eq!(serde_json::from_value::<Cache>(written.clone()).unwrap(), cache);
            assert_eq!(serde_json::to_value(cache).unwrap(), written);
        }
        let plain: Cache = serde_json::from_value(json!({ "ttl": "1h" })).unwrap();
        assert_eq!(serde_json::to_value(plain).unwrap(), json!("1h"));
    }

    #[test]
    fn the_prefixes_go_from_the_shortest_to_the_longest() {
        let prefix = |system, prompt| CachedPrefix { system, prompt };
        assert_eq!(HOUR.prefixes(Some("s"), "Rules {{ a }}"), [prefix("s", "")]);
        let (system, prompt) = ("{{ a | cached }} s", "{{ b | cached }} p {{ c | cached }} q");
        assert_eq!(
            HOUR.prefixes(Some(system), prompt),
            [
                prefix("{{ a | cached }}", ""),
                prefix(system, "{{ b | cached }}"),
                prefix(system, "{{ b | cached }} p {{ c | cached }}"),
            ]
        );
        assert_eq!(AUTO.prefixes(None, "Rules {{ a }}"), [prefix("", "Rules ")]);
        assert_eq!(AUTO.prefixes(Some("s"), "{{ a }}"), [prefix("s", "")]);
    }

    #[test]
    fn a_step_caches_something_and_not_too_much() {
        let reported =
            |cache: Cache, system, prompt: &str| cache.check("c", system, prompt).to_string();
        assert!(reported(HOUR, None, "Rules {{ a }}").starts_with("c: caches nothing: give"));
        assert!(reported(AUTO, None, " {{ a }}").starts_with("c: caches nothing: give"));
        let marks = "{{ a | cached }}".repeat(4);
        assert_eq!(reported(HOUR, None, &marks), "");
        let many = reported(HOUR, Some("s"), &marks);
        assert!(many.starts_with("c: has 5 cached prefixes (limit: 4)"), "{many}");
        let both = reported(AUTO, None, &marks);
        assert!(both.starts_with("c.prefix: is `auto`, but `prompt` has marks"), "{both}");
    }
}
