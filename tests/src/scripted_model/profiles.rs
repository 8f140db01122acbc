//! Inference profiles: the part of Bedrock's control plane that creates and describes them.
//!
//! A system-defined profile exists in each region that its geography can be called from, for any model of Anthropic. An
//! application inference profile exists after it was created, as on Bedrock.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::path::percent_decode;
use super::plants::{Fault, Plants, Subject, base};
use super::reply::Refusal;

/// The account of the emulator.
const ACCOUNT: &str = "000000000000";

/// The geographies of system-defined profiles: the prefix of the ids, the regions that answer, and further regions that a
/// profile can be called from. The table is written independently of the product, so that each checks the other.
const GEOGRAPHIES: &[(&str, &[&str], &[&str])] = &[
    ("us", &["us-east-1", "us-east-2", "us-west-2"], &["us-west-1", "ca-central-1"]),
    (
        "eu",
        &["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"],
        &["eu-west-2"],
    ),
    ("au", &["ap-southeast-2", "ap-southeast-4"], &[]),
    ("jp", &["ap-northeast-1", "ap-northeast-3"], &[]),
];

/// The application inference profiles.
#[derive(Default)]
pub struct Profiles {
    created: Mutex<Vec<Created>>,
}

struct Created {
    region: String,
    id: String,
    name: String,
    /// The ARNs of the models that it calls.
    models: Vec<String>,
}

impl Created {
    fn arn(&self) -> String {
        let Self { region, id, .. } = self;
        format!("arn:aws:bedrock:{region}:{ACCOUNT}:application-inference-profile/{id}")
    }
}

impl Profiles {
    /// Answers `POST /<region>/inference-profiles` and `GET /<region>/inference-profiles/<id, percent-encoded>`. Returns
    /// `None` for any other request.
    pub fn answer(
        &self,
        plants: &Plants,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Option<Result<Value, Refusal>> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        match (method, &parts[..]) {
            ("POST", [region, "inference-profiles"]) => Some(self.create(region, body)),
            ("GET", [region, "inference-profiles", id]) => {
                Some(self.describe(plants, region, &percent_decode(id)))
            }
            _ => None,
        }
    }

    fn create(&self, region: &str, body: &[u8]) -> Result<Value, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::validation(format!("invalid JSON: {error}")))?;
        let text = |at: &str| body.pointer(at).and_then(Value::as_str);
        let (Some(name), Some(source)) =
            (text("/inferenceProfileName"), text("/modelSource/copyFrom"))
        else {
            let needed = "inferenceProfileName and modelSource.copyFrom are required";
            return Err(Refusal::validation(needed.to_owned()));
        };
        let mut created = self.created.lock().unwrap();
        // Bedrock's ids have 12 characters.
        let id = format!("bcce{:08}", created.len());
        let (region, name) = (region.to_owned(), name.to_owned());
        let profile = Created { models: models(&region, source)?, region, id, name };
        let arn = profile.arn();
        created.push(profile);
        Ok(json!({ "inferenceProfileArn": arn, "status": "ACTIVE" }))
    }

    fn describe(&self, plants: &Plants, region: &str, id: &str) -> Result<Value, Refusal> {
        let created = self.created.lock().unwrap();
        let found = created
            .iter()
            .find(|profile| profile.region == region && (profile.id == id || profile.arn() == id));
        let (arn, id, name, kind, models) = match found {
            Some(profile) => {
                let (arn, models) = (profile.arn(), profile.models.clone());
                (arn, profile.id.clone(), profile.name.clone(), "APPLICATION", models)
            }
            None => {
                let id = id.rsplit_once(":inference-profile/").map_or(id, |(_, id)| id);
                let models = system_models(region, id).ok_or_else(|| not_found(id))?;
                let arn = format!("arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{id}");
                (arn, id.to_owned(), id.to_owned(), "SYSTEM_DEFINED", models)
            }
        };
        let models = planted(plants, region, models).ok_or_else(|| not_found(&id))?;
        let models: Value = models.iter().map(|arn| json!({ "modelArn": arn })).collect();
        Ok(json!({
            "inferenceProfileArn": arn, "inferenceProfileId": id, "inferenceProfileName": name,
            "models": models, "status": "ACTIVE", "type": kind,
        }))
    }
}

fn not_found(id: &str) -> Refusal {
    Refusal {
        status: 404,
        code: "ResourceNotFoundException",
        message: format!("The inference profile {id} was not found."),
        retry_after_s: None,
    }
}

/// Returns the ARNs of the models that a copy of `source` calls. The source is the ARN of a model or of a profile.
fn models(region: &str, source: &str) -> Result<Vec<String>, Refusal> {
    if source.contains(":foundation-model/") {
        return Ok(vec![source.to_owned()]);
    }
    let id = source.rsplit_once(":inference-profile/").map(|(_, id)| id);
    id.and_then(|id| system_models(region, id)).ok_or_else(|| not_found(source))
}

/// Returns the ARNs of the models that a system-defined profile calls.
fn system_models(region: &str, id: &str) -> Option<Vec<String>> {
    let (prefix, model) = id.split_once(".anthropic.")?;
    let arn =
        |region: &str| format!("arn:aws:bedrock:{region}::foundation-model/anthropic.{model}");
    if prefix == "global" {
        return Some(vec![arn(region), arn("")]);
    }
    let (_, answering, calling) = GEOGRAPHIES.iter().find(|(known, ..)| *known == prefix)?;
    let is_source = answering.iter().chain(*calling).any(|source| *source == region);
    is_source.then(|| answering.iter().map(|region| arn(region)).collect())
}

/// Returns the models of a profile in the regions that a test planted. Returns `None` if a test planted that the region
/// does not have the profile.
fn planted(plants: &Plants, region: &str, models: Vec<String>) -> Option<Vec<String>> {
    let model = models.first().map_or("", |arn| base(arn)).to_owned();
    let arn = |region: &String| format!("arn:aws:bedrock:{region}::foundation-model/{model}");
    let faults = plants.faults(region, Subject::Model(&model));
    if faults.contains(&Fault::NoProfile) {
        return None;
    }
    let reached = faults.iter().find_map(|fault| match fault {
        Fault::Reach(regions) => Some(regions.iter().map(arn).collect()),
        _ => None,
    });
    Some(reached.unwrap_or(models))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::plants::tests::{MODEL, plant};

    fn get(profiles: &Profiles, region: &str, id: &str) -> Result<Value, u16> {
        let path = format!("/{region}/inference-profiles/{id}");
        profiles
            .answer(&Plants::default(), "GET", &path, b"")
            .unwrap()
            .map_err(|refused| refused.status)
    }

    fn arns(described: &Value) -> Vec<&str> {
        let models = described["models"].as_array().unwrap();
        models.iter().map(|model| model["modelArn"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_system_defined_profile_calls_the_models_of_its_geography() {
        let profiles = Profiles::default();
        let us = get(&profiles, "us-east-1", "us.anthropic.c").unwrap();
        let arn = |region: &str| format!("arn:aws:bedrock:{region}::foundation-model/anthropic.c");
        assert_eq!(arns(&us), ["us-east-1", "us-east-2", "us-west-2"].map(arn));
        let global = get(&profiles, "us-east-1", "global.anthropic.c").unwrap();
        assert_eq!(arns(&global), ["us-east-1", ""].map(arn));
        assert_eq!(get(&profiles, "eu-west-1", "us.anthropic.c"), Err(404));
        assert_eq!(get(&profiles, "us-east-1", "anthropic.c"), Err(404));
    }

    #[test]
    fn an_application_inference_profile_exists_after_it_was_created() {
        let (profiles, none) = (Profiles::default(), Plants::default());
        let source = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.c";
        let order = json!({ "inferenceProfileName": "a", "modelSource": { "copyFrom": source } });
        let body = order.to_string();
        let created =
            profiles.answer(&none, "POST", "/us-east-1/inference-profiles", body.as_bytes());
        let created = created.unwrap().unwrap();
        let arn = created["inferenceProfileArn"].as_str().unwrap();
        let encoded = arn.replace(':', "%3A").replace('/', "%2F");
        let described = get(&profiles, "us-east-1", &encoded).unwrap();
        assert_eq!((described["type"].as_str(), arns(&described).len()), (Some("APPLICATION"), 3));
        assert_eq!(get(&profiles, "us-west-2", &encoded), Err(404));
        let refused =
            profiles.answer(&none, "POST", "/us-east-1/inference-profiles", b"{}").unwrap();
        assert_eq!(refused.unwrap_err().status, 400);
        assert!(profiles.answer(&none, "GET", "/us-east-1/model-invocation-jobs", b"").is_none());
    }

    #[test]
    fn a_planted_reach_replaces_the_regions_of_a_profile() {
        let (profiles, plants) = (Profiles::default(), Plants::default());
        let get = |region: &str| {
            let path = format!("/{region}/inference-profiles/us.{MODEL}");
            profiles.answer(&plants, "GET", &path, b"").unwrap().map_err(|refused| refused.status)
        };
        plant(&plants, json!({ "reach": ["us-east-1", "ca-central-1"] }));
        let arn = |region: &str| format!("arn:aws:bedrock:{region}::foundation-model/{MODEL}");
        assert_eq!(arns(&get("us-east-1").unwrap()), ["us-east-1", "ca-central-1"].map(arn));
        assert_eq!(arns(&get("us-west-2").unwrap()).len(), 3);
        plant(&plants, json!("no-profile"));
        assert_eq!(get("us-east-1"), Err(404));
    }
}
