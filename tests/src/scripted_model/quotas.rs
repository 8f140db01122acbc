//! Service Quotas: the applied quotas of Bedrock. The names are those of AWS, also where they do not follow a rule.

use serde_json::{Value, json};

use super::plants::{Fault, Plants, Subject};
use super::reply::Refusal;

/// The header that names an operation, and its value.
pub const TARGET: (&str, &str) = ("x-amz-target", "ServiceQuotasV20190624.ListServiceQuotas");

/// The models that have quotas, and their names in Service Quotas.
const MODELS: &[(&str, &str)] = &[
    ("anthropic.claude-haiku-5-5", "Haiku 5.5"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Haiku 4.5"),
    ("anthropic.claude-sonnet-5-5", "Sonnet 5.5"),
    ("anthropic.claude-sonnet-5", "Sonnet 5"),
    ("anthropic.claude-opus-5-5", "Opus 5.5"),
    ("anthropic.claude-opus-5", "Opus 5"),
];

/// The quotas of a model: the text before and after its name, and the value.
const QUOTAS: &[(&str, &str, f64)] = &[
    ("On-demand model inference requests per minute for", "", 10_000.0),
    ("On-demand model inference tokens per minute for", "", 100_000_000.0),
    ("Cross-region model inference requests per minute for", "", 10_000.0),
    ("Cross-region model inference tokens per minute for", "", 100_000_000.0),
    // A quota of its own for long prompts, whose name begins like the others.
    ("Cross-region model inference tokens per minute for", " 1M Context Length", 1_000.0),
    ("Global cross-region model inference requests per minute for", "", 10_000.0),
    ("Global cross-region model inference tokens per minute for", "", 100_000_000.0),
    ("Global cross-region model inference tokens per day for", "", 144_000_000_000.0),
    (
        "Model invocation max tokens per day for",
        " (doubled for cross-region calls)",
        72_000_000_000.0,
    ),
];

/// The largest page. It is smaller than that of AWS, so that a reader of the first page alone misses quotas.
const PAGE: usize = 20;

/// Answers `ListServiceQuotas`: `POST /<region>/` with its name as `target`. Returns `None` for any other request.
pub fn answer(
    plants: &Plants,
    method: &str,
    path: &str,
    target: Option<&str>,
    body: &[u8],
) -> Option<Result<Value, Refusal>> {
    let region = path.strip_prefix('/')?.trim_end_matches('/');
    if method != "POST" || target != Some(TARGET.1) || region.contains('/') {
        return None;
    }
    Some(list(plants, region, body))
}

fn list(plants: &Plants, region: &str, body: &[u8]) -> Result<Value, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::validation(format!("invalid JSON: {error}")))?;
    if body["ServiceCode"] != "bedrock" {
        let (status, code) = (400, "NoSuchResourceException");
        let message = format!("The service code {} is not known.", body["ServiceCode"]);
        return Err(Refusal { status, code, message, retry_after_s: None });
    }
    let asked = body["MaxResults"].as_u64().map_or(PAGE, |asked| PAGE.min(asked as usize));
    let start = body["NextToken"].as_str().map_or(Some(0), |token| token.parse().ok());
    let start: usize = start.ok_or_else(|| Refusal {
        status: 400,
        code: "InvalidPaginationTokenException",
        message: "Invalid token.".into(),
        retry_after_s: None,
    })?;
    let all = all(plants, region);
    let page: Vec<&Value> = all.iter().skip(start).take(asked).collect();
    let next = start + page.len();
    let token = (next < all.len()).then(|| next.to_string());
    Ok(json!({ "Quotas": page, "NextToken": token }))
}

fn all(plants: &Plants, region: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for (model, display) in MODELS {
        let faults = plants.faults(region, Subject::Model(model));
        let planted = faults.iter().find_map(|fault| match fault {
            Fault::Quota(value) => Some(*value),
            _ => None,
        });
        for (before, after, value) in QUOTAS {
            let name = format!("{before} Anthropic Claude {display}{after}");
            found.push(json!({
                "ServiceCode": "bedrock", "QuotaName": name, "Value": planted.unwrap_or(*value),
                "QuotaCode": format!("L-{:08X}", found.len()), "Adjustable": true, "Unit": "None",
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::plants::tests::plant;

    fn page(plants: &Plants, region: &str, token: Value) -> Result<Value, &'static str> {
        let body = json!({ "ServiceCode": "bedrock", "MaxResults": 100, "NextToken": token });
        let (path, body) = (format!("/{region}/"), body.to_string());
        let answer = answer(plants, "POST", &path, Some(TARGET.1), body.as_bytes());
        answer.unwrap().map_err(|refused| refused.code)
    }

    fn quotas(plants: &Plants, region: &str) -> Vec<(String, f64)> {
        let (mut found, mut token) = (Vec::new(), Value::Null);
        loop {
            let page = page(plants, region, token).unwrap();
            found.extend(page["Quotas"].as_array().unwrap().iter().map(|quota| {
                let name = quota["QuotaName"].as_str().unwrap().to_owned();
                (name, quota["Value"].as_f64().unwrap())
            }));
            token = page["NextToken"].clone();
            if token.is_null() {
                return found;
            }
        }
    }

    #[test]
    fn all_pages_have_the_quotas_of_all_models() {
        let found = quotas(&Plants::default(), "us-east-1");
        assert_eq!(found.len(), MODELS.len() * QUOTAS.len());
        assert!(found.len() > PAGE, "one page is no test");
        let name = "Model invocation max tokens per day for Anthropic Claude Opus 5 (doubled for cross-region calls)";
        assert!(found.iter().any(|(known, _)| known == name));
        assert!(found.iter().all(|(_, value)| *value >= 1_000.0));
    }

    #[test]
    fn a_planted_value_is_that_of_each_quota_of_its_model() {
        let plants = Plants::default();
        plant(&plants, json!({ "quota": 0 }));
        let zero = |region: &str| {
            let found = quotas(&plants, region);
            found.into_iter().filter(|(_, value)| *value == 0.0).map(|(name, _)| name).collect()
        };
        let found: Vec<String> = zero("us-east-1");
        assert_eq!(found.len(), QUOTAS.len());
        assert!(found.iter().all(|name| name.contains("Anthropic Claude Haiku 5.5")));
        assert_eq!(zero("us-west-2"), [] as [String; 0]);
    }

    #[test]
    fn a_wrong_token_and_a_wrong_service_are_refused_and_other_requests_pass() {
        let plants = Plants::default();
        assert_eq!(page(&plants, "us-east-1", json!("x")), Err("InvalidPaginationTokenException"));
        let of = |method: &str, path: &str, target: Option<&str>| {
            answer(&plants, method, path, target, br#"{"ServiceCode":"ec2"}"#)
        };
        let refused = of("POST", "/us-east-1/", Some(TARGET.1)).unwrap();
        assert_eq!(refused.unwrap_err().code, "NoSuchResourceException");
        assert!(of("POST", "/us-east-1/", Some("AWSServiceQuotas.Other")).is_none());
        assert!(of("POST", "/us-east-1/", None).is_none());
        assert!(of("POST", "/us-east-1/model/m/converse", Some(TARGET.1)).is_none());
    }
}
