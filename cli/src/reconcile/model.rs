//! The name of a Claude model. Ids, products and usage types spell it differently: `anthropic.claude-haiku-4-5-…`,
//! `Claude Haiku 4.5 (Amazon Bedrock Edition)` and `Claude4.5Haiku`.

use std::fmt::{Display, Formatter, Result};

/// The family and the version of a model, such as `haiku` and `4.5`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelName {
    pub family: String,
    pub version: String,
}

/// The longest number that is a part of a version. Longer ones are dates.
const LONGEST_VERSION: usize = 2;

impl ModelName {
    /// Reads the name of a model from an id, a product or a usage type without its other parts. Returns `None` if it is
    /// not a name of Claude.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let (_, rest) = text.split_once("claude")?;
        let rest = rest.split(['(', ':', '/']).next().unwrap_or_default();
        let (mut family, mut numbers) = (None, Vec::new());
        for word in words(rest) {
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                if word.len() <= LONGEST_VERSION {
                    numbers.push(word);
                }
            } else if family.is_none() && word.len() > 1 {
                family = Some(word);
            } else if word == "v" {
                // The version of the entry in the service's list follows, such as `-v1:0`.
                break;
            }
        }
        let is_whole = !numbers.is_empty();
        is_whole.then_some(Self { family: family?, version: numbers.join(".") })
    }
}

/// Splits a text into runs of letters and runs of digits.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for c in text.chars() {
        let kind = if c.is_ascii_digit() { Some(0) } else { c.is_ascii_alphabetic().then_some(1) };
        match (kind, words.last_mut()) {
            (None, _) => {}
            (kind, Some(word)) if kind == last => word.push(c),
            _ => words.push(c.to_string()),
        }
        last = kind;
    }
    words
}

/// Formats the name: `haiku 4.5`.
impl Display for ModelName {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", self.family, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_model_is_one_name() {
        for (text, expected) in [
            ("anthropic.claude-haiku-4-5-20251001-v1:0", "haiku 4.5"),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "haiku 4.5"),
            ("Claude Haiku 4.5 (Amazon Bedrock Edition)", "haiku 4.5"),
            ("Claude4.5Haiku", "haiku 4.5"),
            ("Claude 4.5 Haiku", "haiku 4.5"),
            ("anthropic.claude-haiku-5-5", "haiku 5.5"),
            ("Claude5.5Haiku", "haiku 5.5"),
            ("global.anthropic.claude-sonnet-5", "sonnet 5"),
            ("Claude5Sonnet", "sonnet 5"),
            ("anthropic.claude-opus-4-6-v1", "opus 4.6"),
            ("anthropic.claude-3-5-sonnet-20241022-v2:0", "sonnet 3.5"),
            ("Claude3.5Sonnetv2", "sonnetv 3.5.2"),
        ] {
            assert_eq!(ModelName::parse(text).unwrap().to_string(), expected, "{text}");
        }
        for other in ["amazon.nova-pro-v1:0", "Claude", "claude-instant", ""] {
            assert_eq!(ModelName::parse(other), None, "{other}");
        }
    }
}
