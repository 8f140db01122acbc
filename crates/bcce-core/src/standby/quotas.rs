//! The quotas of a model. Service Quotas identifies them by their names; the codes differ between models.

use std::collections::BTreeSet;

use crate::config::profiles::GLOBAL;
use crate::config::residency::base_model;

/// An applied quota of Bedrock in a region, from Service Quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// The name, such as `Cross-region model inference tokens per minute for Anthropic Claude Sonnet 5`.
    pub name: String,
    /// The code, such as `L-1A2B3C4D`, which a request for an increase needs.
    pub code: String,
    pub value: f64,
}

// The values are numbers of requests and tokens and never NaN.
impl Eq for Quota {}

/// The quotas that limit the calls of one model in one region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CallQuotas<'a> {
    pub requests_per_minute: Option<&'a Quota>,
    pub tokens_per_minute: Option<&'a Quota>,
    pub tokens_per_day: Option<&'a Quota>,
}

impl<'a> CallQuotas<'a> {
    /// Finds the quotas of `model_id` among those of a region. `model_id` is that of a model or of a system-defined
    /// profile.
    pub fn of(model_id: &str, quotas: &'a [Quota]) -> Self {
        let way = match base_model(model_id) {
            base if base == model_id => "On-demand",
            _ if model_id.starts_with(GLOBAL) => "Global cross-region",
            _ => "Cross-region",
        };
        let find = |prefix: &str| {
            let is_it = |quota: &&Quota| {
                let rest = strip_prefix_of_any_case(&quota.name, prefix);
                rest.is_some_and(|rest| words(rest) == model_words(base_model(model_id)))
            };
            quotas.iter().find(is_it)
        };
        Self {
            requests_per_minute: find(&format!("{way} model inference requests per minute for ")),
            tokens_per_minute: find(&format!("{way} model inference tokens per minute for ")),
            tokens_per_day: find("Model invocation max tokens per day for "),
        }
    }

    /// Returns the quotas that were found.
    pub fn all(self) -> impl Iterator<Item = &'a Quota> {
        [self.requests_per_minute, self.tokens_per_minute, self.tokens_per_day]
            .into_iter()
            .flatten()
    }
}

fn strip_prefix_of_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Returns the words of a quota's model that tell it from others: `haiku` and `4.5` for `Anthropic Claude Haiku 4.5 V1`.
/// Names have the family before or after the version.
fn words(name: &str) -> BTreeSet<String> {
    let of_model = |word: &String| {
        let is_version = word.strip_prefix('v').is_some_and(|rest| rest.parse::<u8>().is_ok());
        !["anthropic", "claude"].contains(&word.as_str()) && !is_version
    };
    // Such as `(doubled for cross-region calls)`.
    let name = name.split('(').next().unwrap_or(name);
    name.split_whitespace().map(str::to_lowercase).filter(of_model).collect()
}

/// Returns the same words of a model id: `haiku` and `4.5` for `anthropic.claude-haiku-4-5-20251001-v1:0`.
fn model_words(model: &str) -> BTreeSet<String> {
    let name = model.split_once(".claude-").map_or(model, |(_, name)| name);
    let name = name.split(':').next().unwrap_or(name);
    let (mut found, mut version) = (BTreeSet::new(), Vec::new());
    for part in name.split('-') {
        match part {
            _ if part.len() < 4 && part.bytes().all(|b| b.is_ascii_digit()) => version.push(part),
            // A date, or the version of the id.
            _ if part.bytes().skip(1).all(|b| b.is_ascii_digit()) => {}
            _ => {
                found.insert(part.to_owned());
            }
        }
    }
    if !version.is_empty() {
        found.insert(version.join("."));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(name: &str, value: f64) -> Quota {
        Quota { name: name.into(), code: "L-1".into(), value }
    }

    #[test]
    fn a_model_has_the_quotas_of_its_name_and_its_way() {
        let quotas = [
            quota(
                "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5",
                1.0,
            ),
            quota(
                "Global cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5 V1",
                2.0,
            ),
            quota(
                "On-demand model inference tokens per minute for Anthropic Claude 4.5 Haiku",
                3.0,
            ),
            quota(
                "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4",
                4.0,
            ),
            quota(
                "Cross-region model inference requests per minute for Anthropic Claude Haiku 4.5 V1",
                5.0,
            ),
            quota(
                "Model invocation max tokens per day for Anthropic Claude Haiku 4.5 V1 1M Context Length (doubled for cross-region calls)",
                7.0,
            ),
            quota(
                "Model invocation max tokens per day for Anthropic Claude Haiku 4.5 V1 (doubled for cross-region calls)",
                6.0,
            ),
        ];
        let of = |id: &str| {
            let CallQuotas { requests_per_minute, tokens_per_minute, tokens_per_day } =
                CallQuotas::of(id, &quotas);
            [requests_per_minute, tokens_per_minute, tokens_per_day].map(|q| q.map(|q| q.value))
        };
        let model = "anthropic.claude-haiku-4-5-20251001-v1:0";
        assert_eq!(of(&format!("us.{model}")), [Some(5.0), Some(1.0), Some(6.0)]);
        assert_eq!(of(&format!("global.{model}")), [None, Some(2.0), Some(6.0)]);
        assert_eq!(of(model), [None, Some(3.0), Some(6.0)]);
        assert_eq!(of("us.anthropic.claude-haiku-5-5"), [None; 3]);
        assert_eq!(of("us.anthropic.claude-haiku-4"), [None, Some(4.0), None]);
    }

    #[test]
    fn the_words_of_an_id_are_its_family_and_its_version() {
        let of = |id: &str| model_words(id).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(of("anthropic.claude-haiku-5-5"), "5.5 haiku");
        assert_eq!(of("anthropic.claude-sonnet-5"), "5 sonnet");
        assert_eq!(of("anthropic.claude-opus-4-6-v1"), "4.6 opus");
        assert_eq!(of("anthropic.claude-3-5-haiku-20241022-v1:0"), "3.5 haiku");
    }
}
