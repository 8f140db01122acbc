//! The configuration as the stack has it: SSM documents, pointers followed.

use std::collections::BTreeMap;

use bcce_core::config::{parameter_name, parse_yaml};
use bcce_core::error::{ErrorName, Fault, Problems};
use bcce_core::models::Models;
use bcce_core::plan::{Plan, Sources};
use bcce_core::ports::{GetObject, GetParameters};
use bcce_core::request::StoredRequest;
use bcce_core::template::Template;

use crate::documents::kept;

/// What a plan of one workflow is made of, as text by name.
#[derive(Debug, PartialEq)]
pub struct Configured {
    bodies: BTreeMap<&'static str, String>,
}

const DOCUMENTS: [&str; 4] = ["models", "routing", "policy", "prices"];
const TEMPLATE: &str = "template";

impl Configured {
    /// `None`: there is no such workflow.
    ///
    /// # Errors
    /// `Bcce.Internal` of the ports; `Bcce.InvalidRequest` for a document that is missing or not the
    /// one it is pointed to as.
    pub async fn read(
        parameters: &impl GetParameters,
        store: &impl GetObject,
        bucket: &str,
        environment: &str,
        workflow: &str,
    ) -> Result<Option<Self>, Fault> {
        let template = parameter_name(environment, &format!("workflows/{workflow}"));
        let documents = DOCUMENTS.map(|name| parameter_name(environment, name));
        let names: Vec<String> = documents.into_iter().chain([template.clone()]).collect();
        let values = parameters.parameters(&names).await?;
        if !values.contains_key(&template) {
            return Ok(None);
        }
        let mut bodies = BTreeMap::new();
        for (key, name) in DOCUMENTS.into_iter().chain([TEMPLATE]).zip(&names) {
            let value = values.get(name).ok_or_else(|| wrong(name, "is missing"))?;
            bodies.insert(key, body(store, bucket, name, value).await?);
        }
        Ok(Some(Self { bodies }))
    }

    pub fn template(&self) -> Result<Template, Problems> {
        Template::parse(&self.bodies[TEMPLATE])
    }

    /// The aliases there are, for the one that a request names.
    pub fn check_model(&self, model: &str) -> Result<Problems, Problems> {
        let models: Models = parse_yaml(&self.bodies["models"])?;
        let known: Vec<&str> = models.models.keys().map(String::as_str).collect();
        let mut problems = Problems::default();
        let cause = format!("there is no model {model}; there are: {}", known.join(", "));
        problems.check(known.contains(&model), "model", cause);
        Ok(problems)
    }

    /// What `prepare` will say of the request.
    ///
    /// # Errors
    /// `Bcce.InvalidRequest` or `Bcce.PolicyViolation`, as the run would fail with.
    pub fn plan(&self, request: &StoredRequest) -> Result<Plan, Fault> {
        Plan::resolve(&Sources {
            request,
            template: &self.template()?,
            template_sha256: "",
            models: &parse_yaml(&self.bodies["models"])?,
            routing: &parse_yaml(&self.bodies["routing"])?,
            policy: &parse_yaml(&self.bodies["policy"])?,
            policy_sha256: "",
            prices: &parse_yaml(&self.bodies["prices"])?,
        })
    }
}

async fn body(
    store: &impl GetObject,
    bucket: &str,
    name: &str,
    value: &str,
) -> Result<String, Fault> {
    kept(store, bucket, value).await?.map_err(|cause| wrong(name, &cause))
}

fn wrong(name: &str, cause: &str) -> Fault {
    Fault::new(ErrorName::InvalidRequest, format!("the SSM parameter {name} {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::config::Pointer;
    use bcce_core::fakes::{MemoryParameters, MemoryStore};
    use bcce_core::request::Request;

    const WORKFLOW: &str = include_str!("../../../../infra/config/dev/workflows/explain.yaml");

    fn parameters() -> BTreeMap<String, String> {
        let pointer = Pointer::to("b", "config/workflows/explain/x.yaml", WORKFLOW.as_bytes());
        [
            ("/bcce/dev/models", include_str!("../../../../infra/config/dev/models.yaml")),
            ("/bcce/dev/routing", include_str!("../../../../infra/config/dev/routing.yaml")),
            ("/bcce/dev/policy", include_str!("../../../../infra/config/dev/policy.yaml")),
            ("/bcce/dev/prices", include_str!("../../../../infra/config/dev/prices.yaml")),
            ("/bcce/dev/workflows/explain", &serde_json::to_string(&pointer).unwrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    async fn read(
        parameters: BTreeMap<String, String>,
        body: &str,
        workflow: &str,
    ) -> Result<Option<Configured>, Fault> {
        let store = MemoryStore::with([(
            "config/workflows/explain/x.yaml".to_owned(),
            body.as_bytes().to_vec(),
        )]);
        Configured::read(&MemoryParameters(parameters), &store, "b", "dev", workflow).await
    }

    #[tokio::test]
    async fn a_request_is_planned_as_prepare_would() {
        let configured = read(parameters(), WORKFLOW, "explain").await.unwrap().unwrap();
        let stored = |body: &str| StoredRequest::new(Request::parse(body).unwrap(), "default", "m");
        let request = stored(r#"{"workflow":"explain","inputs":{"text":"t"}}"#);
        assert_eq!(configured.plan(&request).unwrap().waves.len(), 1);
        let request = stored(r#"{"workflow":"explain","inputs":{"text":"t"},"model":"gpt"}"#);
        assert_eq!(configured.plan(&request).unwrap_err().name, ErrorName::InvalidRequest);
    }

    #[tokio::test]
    async fn an_unknown_model_is_told_once_and_not_for_each_step() {
        let configured = read(parameters(), WORKFLOW, "explain").await.unwrap().unwrap();
        let told = configured.check_model("gpt").unwrap().to_string();
        assert_eq!(told, "model: there is no model gpt; there are: haiku, opus, sonnet");
        assert!(configured.check_model("opus").unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_unknown_workflow_is_none_and_a_changed_body_an_error() {
        assert_eq!(read(parameters(), WORKFLOW, "explian").await, Ok(None));
        let fault = read(parameters(), "version: 1", "explain").await.unwrap_err();
        assert!(fault.message.contains("another digest"), "{fault}");
        let mut without = parameters();
        without.remove("/bcce/dev/prices");
        let fault = read(without, WORKFLOW, "explain").await.unwrap_err();
        assert!(fault.message.contains("/bcce/dev/prices is missing"), "{fault}");
    }
}
