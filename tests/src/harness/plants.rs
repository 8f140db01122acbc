//! Plants faults in the scripted model: in models, guardrails, regions and calls. `scripted_model::plants` lists them.

use serde_json::{Value, json};

use super::stack::output;

/// A planted fault. Dropping it removes the fault.
#[must_use = "the fault is removed when the value is dropped"]
pub struct Planted {
    id: u64,
}

impl Planted {
    /// Plants a fault of a model, such as `json!("legacy")` or `json!({ "call": "not-allowed" })`. `model` is its id
    /// without the prefix of a profile, and `region` may be `*`.
    pub fn in_model(region: &str, model: &str, fault: &Value) -> Self {
        Self::plant(&json!({ "region": region, "model": model, "fault": fault }))
    }

    /// Plants a fault of a guardrail, such as `json!("missing")`.
    pub fn in_guardrail(region: &str, guardrail: &str, fault: &Value) -> Self {
        Self::plant(&json!({ "region": region, "guardrail": guardrail, "fault": fault }))
    }

    /// Plants a fault of a region, such as `json!({ "retention": "provider_data_share" })`.
    pub fn in_region(region: &str, fault: &Value) -> Self {
        Self::plant(&json!({ "region": region, "fault": fault }))
    }

    fn plant(plant: &Value) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut answer = agent.post(url()).send(plant.to_string()).unwrap();
        let body = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{plant}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        Self { id: body["id"].as_u64().unwrap() }
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        // A test that failed drops its plants while it panics, and a second panic would hide the first.
        let removed = ureq::delete(format!("{}?id={}", url(), self.id)).call();
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn url() -> String {
    format!("{}/__plant", output("SCRIPTED_MODEL_URL"))
}
