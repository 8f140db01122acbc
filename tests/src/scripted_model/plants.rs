//! Planted faults: tests change what the control plane says about a model, a guardrail or a region, and what the calls of
//! a model receive.
//!
//! `POST /__plant` takes a [`Plant`] as JSON and answers `{"id": 1}`. `DELETE /__plant?id=1` removes it, and
//! `DELETE /__plant` removes all. Whatever no plant names stays healthy, so tests can share the server. Faults are
//! independent of each other: a model whose access is `denied` answers calls unless `{"call": "denied"}` is planted, too.

use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Value, json};

use super::action::Action;
use super::reply::Refusal;

/// A fault of a model, a guardrail or a region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plant {
    /// The region that has the fault. `*` stands for all.
    region: String,
    /// The id of a model, without the prefix of a profile. For calls also the ARN of an application inference profile.
    model: Option<String>,
    /// The id of a guardrail.
    guardrail: Option<String>,
    fault: Fault,
}

/// A fault. A name alone is written as a text, and one with a value as an object, such as `{"quota": 0}`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The model is listed as `LEGACY`.
    Legacy,
    /// The model costs more since yesterday.
    Extended,
    /// The model ends in this number of days. A negative number is in the past.
    #[serde(rename = "ends_in_days")]
    EndsInDays(i64),
    /// The model started on this day, such as `2026-12-01`.
    Started(String),
    /// The region does not have the model or the guardrail.
    Missing,
    /// The region lists the model, and says that it is not available there.
    Elsewhere,
    /// The account has no agreement with the provider.
    NoAgreement,
    /// The agreement is being created.
    Pending,
    /// The agreement failed for this reason.
    #[serde(rename = "agreement_failed")]
    AgreementFailed(String),
    /// The account may not call the model.
    Denied,
    NotEntitled,
    /// No profile of the model can be called in the region.
    NoProfile,
    /// The profiles of the model reach these regions.
    Reach(Vec<String>),
    /// All quotas of the model have this value.
    Quota(f64),
    /// The guardrail has this status, such as `FAILED`.
    Status(String),
    /// The data retention of the account has this mode.
    Retention(String),
    /// All calls of the model react with this action, such as `legacy`. See [`super::action`].
    Call(String),
}

/// The part of the control plane that a fault changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subject<'a> {
    Model(&'a str),
    Guardrail(&'a str),
    Region,
}

impl Plant {
    /// # Errors
    /// A sentence that says what is wrong.
    fn parse(body: &[u8]) -> Result<Self, String> {
        let plant: Self =
            serde_json::from_slice(body).map_err(|error| format!("invalid plant: {error}"))?;
        let (subject, needed) = match (&plant.fault, &plant.guardrail) {
            (Fault::Retention(_), _) => {
                (plant.model.is_none() && plant.guardrail.is_none(), "only `region`")
            }
            (Fault::Status(_), _) | (Fault::Missing, Some(_)) => {
                (plant.guardrail.is_some() && plant.model.is_none(), "`guardrail` and no `model`")
            }
            _ => (plant.model.is_some() && plant.guardrail.is_none(), "`model` and no `guardrail`"),
        };
        if !subject {
            return Err(format!("invalid plant: the fault {:?} needs {needed}", plant.fault));
        }
        if let Fault::Call(action) = &plant.fault {
            Action::parse(action)?;
        }
        Ok(plant)
    }

    fn is_of(&self, region: &str, subject: Subject<'_>) -> bool {
        let is_subject = match subject {
            Subject::Model(id) => {
                self.model.as_deref().is_some_and(|model| [id, base(id)].contains(&model))
            }
            Subject::Guardrail(id) => self.guardrail.as_deref() == Some(id),
            Subject::Region => self.model.is_none() && self.guardrail.is_none(),
        };
        is_subject && ["*", region].contains(&self.region.as_str())
    }
}

/// Returns the model of an id, without the prefix of a profile.
pub fn base(id: &str) -> &str {
    id.find("anthropic.").map_or(id, |at| &id[at..])
}

/// The planted faults.
#[derive(Default)]
pub struct Plants {
    /// The faults with their ids, and the last id.
    planted: Mutex<(Vec<(u64, Plant)>, u64)>,
}

impl Plants {
    /// Answers `POST /__plant` and `DELETE /__plant[?id=<id>]`. Returns `None` for any other request.
    pub fn answer(&self, method: &str, path: &str, body: &[u8]) -> Option<Result<Value, Refusal>> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let answer = match (method, path) {
            ("POST", "/__plant") => {
                Plant::parse(body).map(|plant| json!({ "id": self.add(plant) }))
            }
            ("DELETE", "/__plant") => {
                self.remove(query).map(|removed| json!({ "removed": removed }))
            }
            _ => return None,
        };
        Some(answer.map_err(Refusal::validation))
    }

    fn add(&self, plant: Plant) -> u64 {
        let mut planted = self.planted.lock().unwrap();
        planted.1 += 1;
        let id = planted.1;
        planted.0.push((id, plant));
        id
    }

    fn remove(&self, query: &str) -> Result<usize, String> {
        let id: Option<u64> = match query.strip_prefix("id=") {
            Some(id) => Some(id.parse().map_err(|_| format!("`{id}` is not the id of a plant"))?),
            None if query.is_empty() => None,
            None => return Err(format!("unknown query `{query}`, expected `id=<id>` or nothing")),
        };
        let mut planted = self.planted.lock().unwrap();
        let before = planted.0.len();
        planted.0.retain(|(known, _)| id.is_some_and(|id| id != *known));
        Ok(before - planted.0.len())
    }

    /// Returns the faults of a subject in a region, the last planted first.
    pub fn faults(&self, region: &str, subject: Subject<'_>) -> Vec<Fault> {
        let planted = self.planted.lock().unwrap();
        let found = planted.0.iter().rev().filter(|(_, plant)| plant.is_of(region, subject));
        found.map(|(_, plant)| plant.fault.clone()).collect()
    }

    /// Returns the action that is planted for the calls of a model.
    pub fn action(&self, region: &str, model_id: &str) -> Option<Action> {
        let faults = self.faults(region, Subject::Model(model_id));
        faults.iter().find_map(|fault| match fault {
            Fault::Call(action) => Action::parse(action).ok(),
            _ => None,
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const MODEL: &str = "anthropic.claude-haiku-5-5";

    /// Plants a fault of `MODEL` in `us-east-1`.
    pub fn plant(plants: &Plants, fault: Value) {
        let plant = json!({ "region": "us-east-1", "model": MODEL, "fault": fault });
        send(plants, &plant).unwrap();
    }

    pub fn send(plants: &Plants, plant: &Value) -> Result<u64, String> {
        let answer = plants.answer("POST", "/__plant", plant.to_string().as_bytes()).unwrap();
        answer.map(|answer| answer["id"].as_u64().unwrap()).map_err(|refused| refused.message)
    }

    #[test]
    fn a_fault_applies_to_its_subject_in_its_region_until_it_is_removed() {
        let plants = Plants::default();
        plant(&plants, json!("legacy"));
        let everywhere = json!({ "region": "*", "model": MODEL, "fault": { "quota": 0 } });
        let id = send(&plants, &everywhere).unwrap();
        let of = |region: &str, id: &str| plants.faults(region, Subject::Model(id));
        let profile = format!("us.{MODEL}");
        assert_eq!(of("us-east-1", &profile), [Fault::Quota(0.0), Fault::Legacy]);
        assert_eq!(of("us-west-2", MODEL), [Fault::Quota(0.0)]);
        assert_eq!(of("us-east-1", "anthropic.claude-haiku-5"), []);
        let remove = |path: &str| plants.answer("DELETE", path, b"").unwrap();
        remove(&format!("/__plant?id={id}")).unwrap();
        assert_eq!(of("us-east-1", MODEL), [Fault::Legacy]);
        assert_eq!(remove("/__plant?id=x").unwrap_err().status, 400);
        assert_eq!(remove("/__plant").unwrap(), json!({ "removed": 1 }));
        assert_eq!(of("us-east-1", MODEL), []);
        assert!(plants.answer("GET", "/__health", b"").is_none());
    }

    #[test]
    fn guardrails_regions_and_calls_have_faults_of_their_own() {
        let plants = Plants::default();
        let guardrail = json!({ "region": "*", "guardrail": "g1", "fault": "missing" });
        let retention = json!({ "region": "eu-west-1", "fault": { "retention": "none" } });
        let call = json!({ "region": "*", "model": MODEL, "fault": { "call": "legacy" } });
        for plant in [guardrail, retention, call] {
            send(&plants, &plant).unwrap();
        }
        assert_eq!(plants.faults("us-east-1", Subject::Guardrail("g1")), [Fault::Missing]);
        assert_eq!(plants.faults("us-east-1", Subject::Guardrail("g2")), []);
        let none = Fault::Retention("none".into());
        assert_eq!(plants.faults("eu-west-1", Subject::Region), [none]);
        assert_eq!(plants.faults("us-east-1", Subject::Region), []);
        let action = plants.action("us-east-1", &format!("us.{MODEL}")).unwrap();
        assert_eq!(action.written, "legacy");
        assert!(plants.action("us-east-1", "us.anthropic.claude-opus-5").is_none());
    }

    #[test]
    fn a_plant_that_no_test_can_mean_is_refused() {
        let refused = |plant: Value| send(&Plants::default(), &plant).unwrap_err();
        for (plant, named) in [
            (json!({ "region": "*", "fault": "legacy" }), "needs `model`"),
            (
                json!({ "region": "*", "model": "m", "fault": { "status": "FAILED" } }),
                "needs `guardrail`",
            ),
            (
                json!({ "region": "*", "model": "m", "fault": { "retention": "none" } }),
                "only `region`",
            ),
            (
                json!({ "region": "*", "model": "m", "fault": { "call": "thortle" } }),
                "unknown action",
            ),
            (json!({ "region": "*", "model": "m", "fault": "gone" }), "unknown variant `gone`"),
            (json!({ "region": "*", "models": "m", "fault": "legacy" }), "unknown field `models`"),
        ] {
            let message = refused(plant.clone());
            assert!(message.contains(named), "{plant}: {message}");
        }
    }
}
