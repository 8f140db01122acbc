//! Foundation models: the part of Bedrock's control plane that describes them and the access to them. A model of Anthropic
//! is healthy unless a test plants a fault.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

use super::path::percent_decode;
use super::plants::{Fault, Plants, Subject};
use super::reply::Refusal;

/// The days on which models started, as their announcements say. The table is written independently of the prices, so that
/// each checks the other.
const STARTED: &[(&str, &str)] = &[
    ("anthropic.claude-haiku-5-5", "2026-10-07"),
    ("anthropic.claude-sonnet-5-5", "2026-09-28"),
    ("anthropic.claude-opus-5-5", "2026-09-22"),
    ("anthropic.claude-opus-5", "2026-07-24"),
    ("anthropic.claude-sonnet-5", "2026-06-30"),
    ("anthropic.claude-opus-4-8", "2026-05-28"),
    ("anthropic.claude-opus-4-7", "2026-04-16"),
    ("anthropic.claude-opus-4-6-v1", "2026-02-05"),
    ("anthropic.claude-opus-4-5-20251101-v1:0", "2025-11-24"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "2025-10-15"),
];
/// The day for the models that tests invent. It precedes every price.
const LONG_AGO: &str = "2024-03-04";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Answers `GET /<region>/foundation-models/<id>` and `GET /<region>/foundation-model-availability/<id>`. Returns `None`
/// for any other request.
pub fn answer(plants: &Plants, method: &str, path: &str) -> Option<Result<Value, Refusal>> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (region, operation, id) = match (method, &parts[..]) {
        ("GET", [region, operation, id]) => (*region, *operation, percent_decode(id)),
        _ => return None,
    };
    let respond = match operation {
        "foundation-models" => describe,
        "foundation-model-availability" => access,
        _ => return None,
    };
    let faults = plants.faults(region, Subject::Model(&id));
    Some(match exists(&id, &faults) {
        true => Ok(respond(region, &id, &faults)),
        false => Err(not_found(&id)),
    })
}

/// Returns true if the region has the model. The id of a profile is not that of a model.
fn exists(id: &str, faults: &[Fault]) -> bool {
    id.starts_with("anthropic.") && !faults.contains(&Fault::Missing)
}

fn not_found(id: &str) -> Refusal {
    // For an id that cannot be one of a model, Bedrock answers with another error.
    let (status, code, message) = if id.starts_with("anthropic.") {
        let message = "Could not resolve the foundation model from the provided model identifier.";
        (404, "ResourceNotFoundException", message)
    } else {
        (400, "ValidationException", "The provided model identifier is invalid.")
    };
    Refusal { status, code, message: message.to_owned(), retry_after_s: None }
}

fn describe(region: &str, id: &str, faults: &[Fault]) -> Value {
    let day = |day: &str| format!("{day}T00:00:00Z");
    let started = STARTED.iter().find(|(known, _)| *known == id).map_or(LONG_AGO, |(_, day)| day);
    let mut life = json!({ "status": "ACTIVE", "startOfLifeTime": day(started) });
    for fault in faults.iter().rev() {
        match fault {
            Fault::Legacy => {
                life["status"] = json!("LEGACY");
                life["legacyTime"] = json!(days_from_now(-1));
            }
            Fault::Extended => life["publicExtendedAccessTime"] = json!(days_from_now(-1)),
            Fault::EndsInDays(days) => life["endOfLifeTime"] = json!(days_from_now(*days)),
            Fault::Started(on) => life["startOfLifeTime"] = json!(day(on)),
            _ => {}
        }
    }
    json!({ "modelDetails": {
        "modelArn": format!("arn:aws:bedrock:{region}::foundation-model/{id}"), "modelId": id,
        "modelName": id, "providerName": "Anthropic", "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"], "responseStreamingSupported": true,
        "inferenceTypesSupported": ["INFERENCE_PROFILE"], "modelLifecycle": life,
    }})
}

/// Returns the moment in `days` days, and a minute more, so that as many whole days are left while a test runs.
fn days_from_now(days: i64) -> String {
    let (distance, now) = (DAY * u32::try_from(days.abs()).unwrap_or(0), SystemTime::now());
    let at = if days < 0 { now - distance } else { now + distance + Duration::from_secs(60) };
    DateTime::from(at).fmt(Format::DateTime).expect("the year has four digits")
}

fn access(_region: &str, id: &str, faults: &[Fault]) -> Value {
    let agreement = faults.iter().find_map(|fault| match fault {
        Fault::NoAgreement => Some(json!({ "status": "NOT_AVAILABLE" })),
        Fault::Pending => Some(json!({ "status": "PENDING" })),
        Fault::AgreementFailed(reason) => {
            Some(json!({ "status": "ERROR", "errorMessage": reason }))
        }
        _ => None,
    });
    let unless = |fault: Fault, refused: &str, granted: &str| {
        json!(if faults.contains(&fault) { refused } else { granted })
    };
    json!({
        "modelId": id,
        "agreementAvailability": agreement.unwrap_or_else(|| json!({ "status": "AVAILABLE" })),
        "authorizationStatus": unless(Fault::Denied, "NOT_AUTHORIZED", "AUTHORIZED"),
        "entitlementAvailability": unless(Fault::NotEntitled, "NOT_AVAILABLE", "AVAILABLE"),
        "regionAvailability": unless(Fault::Elsewhere, "NOT_AVAILABLE", "AVAILABLE"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::plants::tests::{MODEL, plant};

    fn get(plants: &Plants, operation: &str, id: &str) -> Result<Value, u16> {
        let path = format!("/us-east-1/{operation}/{id}");
        answer(plants, "GET", &path).unwrap().map_err(|refused| refused.status)
    }

    fn life(plants: &Plants) -> Value {
        get(plants, "foundation-models", MODEL).unwrap()["modelDetails"]["modelLifecycle"].clone()
    }

    #[test]
    fn a_model_of_anthropic_is_healthy_and_any_other_is_unknown() {
        let plants = Plants::default();
        let expected = json!({ "status": "ACTIVE", "startOfLifeTime": "2026-10-07T00:00:00Z" });
        assert_eq!(life(&plants), expected);
        let id = "anthropic.claude-haiku-4-5-20251001-v1%3A0";
        let described = get(&plants, "foundation-models", id).unwrap();
        let started = &described["modelDetails"]["modelLifecycle"]["startOfLifeTime"];
        assert_eq!(started, "2025-10-15T00:00:00Z");
        let access = get(&plants, "foundation-model-availability", MODEL).unwrap();
        assert_eq!(
            access,
            json!({
                "modelId": MODEL, "agreementAvailability": { "status": "AVAILABLE" },
                "authorizationStatus": "AUTHORIZED", "entitlementAvailability": "AVAILABLE",
                "regionAvailability": "AVAILABLE",
            })
        );
        for operation in ["foundation-models", "foundation-model-availability"] {
            assert_eq!(get(&plants, operation, "amazon.nova"), Err(400), "{operation}");
            assert_eq!(get(&plants, operation, "us.anthropic.c"), Err(400), "{operation}");
        }
        assert!(answer(&plants, "GET", "/us-east-1/model/m").is_none());
    }

    #[test]
    fn each_fault_of_a_life_is_in_the_description() {
        let plants = Plants::default();
        for fault in [json!("legacy"), json!("extended"), json!({ "ends_in_days": 40 })] {
            plant(&plants, fault);
        }
        plant(&plants, json!({ "started": "2026-12-01" }));
        let life = life(&plants);
        assert_eq!(life["status"], "LEGACY");
        assert_eq!(life["startOfLifeTime"], "2026-12-01T00:00:00Z");
        let seconds = |field: &str| {
            let text = life[field].as_str().unwrap();
            DateTime::from_str(text, Format::DateTime).unwrap().secs()
        };
        let now = DateTime::from(SystemTime::now()).secs();
        assert_eq!((seconds("endOfLifeTime") - now) / 86_400, 40);
        assert!(seconds("publicExtendedAccessTime") < now && seconds("legacyTime") < now);
        let elsewhere = answer(&plants, "GET", &format!("/us-west-2/foundation-models/{MODEL}"));
        let elsewhere = elsewhere.unwrap().unwrap();
        assert_eq!(elsewhere["modelDetails"]["modelLifecycle"]["status"], "ACTIVE");
    }

    #[test]
    fn each_fault_of_the_access_is_in_its_own_field() {
        let with = |fault: Value| {
            let plants = Plants::default();
            plant(&plants, fault);
            get(&plants, "foundation-model-availability", MODEL).unwrap()
        };
        let agreement = |fault: Value| with(fault)["agreementAvailability"].clone();
        assert_eq!(agreement(json!("no-agreement")), json!({ "status": "NOT_AVAILABLE" }));
        assert_eq!(agreement(json!("pending")), json!({ "status": "PENDING" }));
        let failed = agreement(json!({ "agreement_failed": "no card" }));
        assert_eq!(failed, json!({ "status": "ERROR", "errorMessage": "no card" }));
        assert_eq!(with(json!("denied"))["authorizationStatus"], "NOT_AUTHORIZED");
        assert_eq!(with(json!("not-entitled"))["entitlementAvailability"], "NOT_AVAILABLE");
        assert_eq!(with(json!("elsewhere"))["regionAvailability"], "NOT_AVAILABLE");
    }

    #[test]
    fn a_missing_model_is_not_found() {
        let plants = Plants::default();
        plant(&plants, json!("missing"));
        assert_eq!(get(&plants, "foundation-models", MODEL), Err(404));
        assert_eq!(get(&plants, "foundation-model-availability", MODEL), Err(404));
    }
}
