//! The usage types of Amazon Bedrock for tokens of Claude. AWS writes them in three forms:
//!
//! - `USE1-Claude4.5Haiku-cache-read-input-token-count-cross-region-global-batch`: the model, the kind of token, the
//!   route, the tier
//! - `USE1-MP:USE1_CacheWrite1hInputTokenCount_Global_Batch-Units` and `USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units`:
//!   the product of the line has the model
//!
//! The forms are those that public programs for reports read; AWS documents the first one only in part.

use super::Kind;
use super::model::ModelName;

/// A usage type of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageType {
    /// The code of the region, such as `USE1`.
    pub region_code: String,
    /// The model, if the usage type has it.
    pub model: Option<ModelName>,
    pub kind: Kind,
    pub tier: &'static str,
    pub is_global: bool,
    pub is_long: bool,
    /// The number of tokens of a unit, unless the report says otherwise.
    pub tokens_per_unit: u32,
}

const THOUSAND: u32 = 1_000;
const MILLION: u32 = 1_000_000;

impl UsageType {
    /// Parses a usage type. Returns `None` if it is not one of tokens.
    pub fn parse(text: &str) -> Option<Self> {
        let (region_code, rest) = text.split_once('-')?;
        // One spelling for all forms: `cache-write-1h-input-token-count`.
        let listed = rest.strip_prefix("MP:");
        let (model, spelled, tokens_per_unit) = match listed {
            Some(listed) => {
                let (_, listed) = listed.split_once('_')?;
                (None, hyphenated(listed.strip_suffix("-Units")?), MILLION)
            }
            None => {
                let at = rest.find("-input").into_iter().chain(rest.find("-output"));
                let at = at.chain(rest.find("-cache")).min()?;
                (Some(ModelName::parse(&rest[..at])?), rest[at + 1..].to_lowercase(), THOUSAND)
            }
        };
        let has = |part: &str| {
            spelled
                .split('-')
                .collect::<Vec<_>>()
                .windows(part.split('-').count())
                .any(|window| window.join("-") == part)
        };
        if !spelled.contains("token") {
            return None;
        }
        let kind = match (has("read"), has("write"), has("output")) {
            (true, ..) => Kind::CacheRead,
            (_, true, _) if has("1h") || has("1-hour") => Kind::CacheWrite1h,
            (_, true, _) => Kind::CacheWrite5m,
            (.., true) => Kind::Output,
            _ if has("input") => Kind::Input,
            _ => return None,
        };
        let tier = ["batch", "flex", "priority", "reserved"].into_iter().find(|tier| has(tier));
        Some(Self {
            region_code: region_code.to_owned(),
            model,
            kind,
            tier: tier.unwrap_or("default"),
            is_global: has("global"),
            is_long: has("long-context") || has("lctx"),
            tokens_per_unit,
        })
    }
}

/// Spells `CacheWrite1hInputTokenCount_Global` as `cache-write-1h-input-token-count-global`.
fn hyphenated(text: &str) -> String {
    let mut spelled = String::new();
    let mut last = ' ';
    for c in text.chars() {
        let begins = c.is_ascii_uppercase() || (c.is_ascii_digit() && last.is_ascii_lowercase());
        if c == '_' || c == '-' || (begins && !spelled.is_empty() && last != '_' && last != '-') {
            spelled.push('-');
        }
        if c != '_' && c != '-' {
            spelled.push(c.to_ascii_lowercase());
        }
        last = c;
    }
    spelled
}

/// Returns the region of a code in a usage type. Returns `None` if the code is unknown.
pub fn region(code: &str) -> Option<&'static str> {
    const REGIONS: [(&str, &str); 27] = [
        ("USE1", "us-east-1"),
        ("USE2", "us-east-2"),
        ("USW1", "us-west-1"),
        ("USW2", "us-west-2"),
        ("UGW1", "us-gov-west-1"),
        ("UGE1", "us-gov-east-1"),
        ("CAN1", "ca-central-1"),
        ("EU", "eu-west-1"),
        ("EUW1", "eu-west-1"),
        ("EUW2", "eu-west-2"),
        ("EUW3", "eu-west-3"),
        ("EUC1", "eu-central-1"),
        ("EUC2", "eu-central-2"),
        ("EUN1", "eu-north-1"),
        ("EUS1", "eu-south-1"),
        ("EUS2", "eu-south-2"),
        ("APN1", "ap-northeast-1"),
        ("APN2", "ap-northeast-2"),
        ("APN3", "ap-northeast-3"),
        ("APS1", "ap-southeast-1"),
        ("APS2", "ap-southeast-2"),
        ("APS3", "ap-south-1"),
        ("APS4", "ap-southeast-3"),
        ("APS5", "ap-south-2"),
        ("APS6", "ap-southeast-4"),
        ("SAE1", "sa-east-1"),
        ("MEC1", "me-central-1"),
    ];
    REGIONS.iter().find(|(known, _)| *known == code).map(|(_, region)| *region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let Some(found) = UsageType::parse(text) else { return "none".into() };
        let UsageType { region_code, model, kind, tier, is_global, is_long, tokens_per_unit } =
            found;
        let model = model.map_or("-".into(), |model| model.to_string());
        let route = if is_global { "global" } else { "regional" };
        let long = if is_long { " long" } else { "" };
        format!("{region_code} {model} {kind:?} {tier} {route}{long} {tokens_per_unit}")
    }

    #[test]
    fn each_form_of_a_usage_type_is_read() {
        for (text, expected) in [
            ("USE1-Claude4.6Sonnet-input-tokens", "USE1 sonnet 4.6 Input default regional 1000"),
            (
                "USE1-Claude4.6Opus-output-tokens-cross-region-global",
                "USE1 opus 4.6 Output default global 1000",
            ),
            (
                "USW2-Claude4.5Haiku-cache-read-input-token-count",
                "USW2 haiku 4.5 CacheRead default regional 1000",
            ),
            (
                "USE1-Claude4Sonnet-cache-write-input-token-count",
                "USE1 sonnet 4 CacheWrite5m default regional 1000",
            ),
            (
                "USE1-Claude4Sonnet-cache-write-input-token-count-1-hour",
                "USE1 sonnet 4 CacheWrite1h default regional 1000",
            ),
            ("USE1-Claude4.5Haiku-input-tokens-batch", "USE1 haiku 4.5 Input batch regional 1000"),
            (
                "USE1-Claude4.5Sonnet-output-tokens-cross-region-global-batch",
                "USE1 sonnet 4.5 Output batch global 1000",
            ),
            (
                "USE1-Claude4.5Sonnet-input-tokens-long-context-cross-region-global",
                "USE1 sonnet 4.5 Input default global long 1000",
            ),
            ("USE1-Claude4.5Haiku-output-tokens-flex", "USE1 haiku 4.5 Output flex regional 1000"),
            ("USE1-MP:USE1_InputTokenCount-Units", "USE1 - Input default regional 1000000"),
            (
                "USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units",
                "USE1 - CacheWrite1h default global 1000000",
            ),
            (
                "USE1-MP:USE1_CacheReadInputTokenCount_Global-Units",
                "USE1 - CacheRead default global 1000000",
            ),
            (
                "USE1-MP:USE1_OutputTokenCount_Global_Batch-Units",
                "USE1 - Output batch global 1000000",
            ),
            ("USE1-MP:USE1_input_tokens_standard-Units", "USE1 - Input default regional 1000000"),
            (
                "USE1-MP:USE1_cache_write_tokens_1h_global_standard-Units",
                "USE1 - CacheWrite1h default global 1000000",
            ),
            (
                "USE1-MP:USE1_output_tokens_priority-Units",
                "USE1 - Output priority regional 1000000",
            ),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        for other in [
            "USE1-Guardrail-ContentPolicyUnitsConsumed",
            "USE1-NovaPro-input-tokens",
            "USE1-Claude4.5Haiku-ProvisionedThroughput_ModelUnits",
            "DataTransfer-Out-Bytes",
            "",
        ] {
            assert_eq!(read(other), "none", "{other}");
        }
    }
}
