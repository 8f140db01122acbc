//! Guardrails and the data retention of the account: two more parts of Bedrock's control plane. Each guardrail is ready in
//! each version, and the mode of retention is `default`, unless a test plants a fault.

use serde_json::{Value, json};

use super::path::percent_decode;
use super::plants::{Fault, Plants, Subject};
use super::reply::Refusal;

const DAWN: &str = "2026-01-01T00:00:00Z";

/// Answers `GET /<region>/guardrails/<id>[?guardrailVersion=<version>]` and `GET /<region>/data-retention`. Returns `None`
/// for any other request.
pub fn answer(plants: &Plants, method: &str, path: &str) -> Option<Result<Value, Refusal>> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match (method, &parts[..]) {
        ("GET", [region, "guardrails", id]) => {
            let version = query.strip_prefix("guardrailVersion=").unwrap_or("DRAFT");
            Some(guardrail(plants, region, &percent_decode(id), version))
        }
        ("GET", [region, "data-retention"]) => Some(Ok(retention(plants, region))),
        _ => None,
    }
}

fn guardrail(plants: &Plants, region: &str, id: &str, version: &str) -> Result<Value, Refusal> {
    let faults = plants.faults(region, Subject::Guardrail(id));
    if faults.contains(&Fault::Missing) {
        let (status, code) = (404, "ResourceNotFoundException");
        let message = format!("The guardrail {id} or its version {version} was not found.");
        return Err(Refusal { status, code, message, retry_after_s: None });
    }
    let status = faults.iter().find_map(|fault| match fault {
        Fault::Status(status) => Some(status.as_str()),
        _ => None,
    });
    Ok(json!({
        "name": id, "guardrailId": id, "version": version, "status": status.unwrap_or("READY"),
        "guardrailArn": format!("arn:aws:bedrock:{region}:000000000000:guardrail/{id}"),
        "createdAt": DAWN, "updatedAt": DAWN, "blockedInputMessaging": "no",
        "blockedOutputsMessaging": "no",
    }))
}

fn retention(plants: &Plants, region: &str) -> Value {
    let faults = plants.faults(region, Subject::Region);
    let mode = faults.iter().find_map(|fault| match fault {
        Fault::Retention(mode) => Some(mode.as_str()),
        _ => None,
    });
    json!({ "mode": mode.unwrap_or("default"), "updatedAt": DAWN })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::plants::tests::send;

    fn get(plants: &Plants, path: &str) -> Result<Value, u16> {
        answer(plants, "GET", path).unwrap().map_err(|refused| refused.status)
    }

    #[test]
    fn a_guardrail_is_ready_unless_it_is_planted() {
        let plants = Plants::default();
        let ready = get(&plants, "/us-east-1/guardrails/g1?guardrailVersion=3").unwrap();
        assert_eq!((&ready["status"], &ready["version"]), (&json!("READY"), &json!("3")));
        let draft = get(&plants, "/us-east-1/guardrails/g1").unwrap();
        assert_eq!(draft["version"], "DRAFT");
        let status = json!({ "status": "FAILED" });
        for (guardrail, fault) in [("g1", json!("missing")), ("g2", status)] {
            let plant = json!({ "region": "us-east-1", "guardrail": guardrail, "fault": fault });
            send(&plants, &plant).unwrap();
        }
        assert_eq!(get(&plants, "/us-east-1/guardrails/g1"), Err(404));
        assert_eq!(get(&plants, "/us-east-1/guardrails/g2").unwrap()["status"], "FAILED");
        assert_eq!(get(&plants, "/us-west-2/guardrails/g1").unwrap()["status"], "READY");
    }

    #[test]
    fn the_retention_is_the_default_unless_it_is_planted() {
        let plants = Plants::default();
        let fault = json!({ "retention": "provider_data_share" });
        send(&plants, &json!({ "region": "us-east-1", "fault": fault })).unwrap();
        let mode = |region: &str| {
            get(&plants, &format!("/{region}/data-retention")).unwrap()["mode"].clone()
        };
        assert_eq!(mode("us-east-1"), "provider_data_share");
        assert_eq!(mode("us-west-2"), "default");
        assert!(answer(&plants, "POST", "/us-east-1/data-retention").is_none());
    }
}
