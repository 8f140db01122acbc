//! Reads the configuration of a stack: the documents in SSM, with their pointers followed, checked together. `prepare`
//! makes its plans from it, and `bcce submit` uses it to refuse in advance what `prepare` would refuse.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::base::digest::{in_hex, sha256_hex};
use crate::base::error::{Fault, Problems};
use crate::config::budgets::Budgets;
use crate::config::configuration::Configuration;
use crate::config::documents::{BUDGETS, PROFILES, Pointer, parameter_name};
use crate::config::models::Models;
use crate::config::policy::Policy;
use crate::config::pricing::Prices;
use crate::config::profiles::{Profiles, ProfilesDocument};
use crate::document::{Document, from_yaml};
use crate::ports::{GetObject, GetParameters, Parameter};
use crate::standby::checks::Rules;

/// Reads the configuration of one environment.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a, S, P> {
    pub store: &'a S,
    pub parameters: &'a P,
    pub bucket: &'a str,
    pub environment: &'a str,
}

/// The result of reading: the configuration, or all problems that a person must fix.
pub type Read = Result<Configuration, Problems>;

impl<S: GetObject, P: GetParameters> Reader<'_, S, P> {
    /// Reads and checks the configuration of `workflow`.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if a port failed. Problems of the configuration are in the result.
    pub async fn read(&self, workflow: &str) -> Result<Read, Fault> {
        let template = format!("workflows/{workflow}");
        let names = ["models", "routing", "policy", "prices", &template, PROFILES, BUDGETS];
        let names = names.map(|name| parameter_name(self.environment, name));
        let values = self.parameters.parameters(&names).await?;
        if !values.contains_key(&names[4]) {
            return self.no_workflow(workflow).await.map(Err);
        }
        let mut bodies = BTreeMap::new();
        for name in &names {
            let missing = Problems::one("document", "the SSM parameter is missing");
            let body = match values.get(name) {
                Some(found) => follow_pointer(self.store, self.bucket, &found.value).await?,
                None if *name == names[5] => Ok(NO_PROFILES.to_owned()),
                None if *name == names[6] => Ok(NO_BUDGETS.to_owned()),
                None => Err(missing),
            };
            bodies.insert(name.as_str(), body);
        }
        let mut read = parse(&names, &bodies);
        if let (Ok(read), Some(budgets)) = (&mut read, values.get(&names[6])) {
            read.budgets.revision = budgets.revision;
        }
        Ok(read)
    }

    async fn no_workflow(&self, workflow: &str) -> Result<Problems, Fault> {
        let parameter = parameter_name(self.environment, &format!("workflows/{workflow}"));
        let cause =
            format!("there is no workflow {workflow}: the SSM parameter {parameter} is missing");
        Ok(Problems::one("workflow", cause))
    }
}

/// Follows the pointer in an SSM parameter. Returns the text of the document, or the problems of the pointer or the
/// object. A parameter without a pointer is the document itself.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed.
pub async fn follow_pointer(
    store: &impl GetObject,
    bucket: &str,
    value: &str,
) -> Result<Result<String, Problems>, Fault> {
    let wrong = |field: &str, cause: String| Ok(Err(Problems::one(field, cause)));
    let Some(pointer) = Pointer::parse(value) else {
        if Pointer::is_meant_by(value) {
            return wrong(
                "document",
                "invalid pointer: expected exactly `uri` and `sha256`".into(),
            );
        }
        return Ok(Ok(value.to_owned()));
    };
    let Some(key) = pointer.key_in(bucket) else {
        return wrong("uri", format!("must lie in s3://{bucket}/"));
    };
    let Some((body, digest)) = store.get_with_digest(key).await? else {
        return wrong("uri", format!("there is no {key}"));
    };
    let sha256 = in_hex(&digest);
    if sha256 != pointer.sha256 {
        let cause = format!("{key} has the digest {sha256}, not the one in the pointer");
        return wrong("sha256", cause);
    }
    match String::from_utf8(body) {
        Ok(text) => Ok(Ok(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            wrong("document", format!("{key} is not UTF-8 from byte {at} on"))
        }
    }
}

/// Reads the budgets of an environment. A stack without the document has none.
///
/// # Errors
/// Returns `Bcce.Internal` if a port failed or the document is invalid.
pub async fn read_budgets(
    store: &impl GetObject,
    parameters: &impl GetParameters,
    bucket: &str,
    environment: &str,
) -> Result<Budgets, Fault> {
    let reader = Reader { store, parameters, bucket, environment };
    let mut found = reader.found(&[BUDGETS]).await?;
    Ok(reader.optional(&mut found, BUDGETS).await?.unwrap_or_default())
}

/// The documents that determine which targets may be called, and at which price.
#[derive(Clone, Debug)]
pub struct TargetDocuments {
    pub models: Models,
    pub policy: Policy,
    pub prices: Prices,
    pub profiles: Profiles,
}

impl TargetDocuments {
    /// Returns the rules that the documents set for targets. `max_tokens` has the largest answer that the workflows ask
    /// of each alias.
    pub fn rules<'a>(
        &'a self,
        max_tokens: &'a BTreeMap<String, u32>,
        now: OffsetDateTime,
    ) -> Rules<'a> {
        let Self { policy, prices, profiles, .. } = self;
        Rules { policy, prices, profiles, max_tokens, now }
    }
}

type Found = BTreeMap<String, Parameter>;

impl<S: GetObject, P: GetParameters> Reader<'_, S, P> {
    /// Reads the documents about targets.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if a port failed, or a document is missing or invalid.
    pub async fn targets(&self) -> Result<TargetDocuments, Fault> {
        let mut found = self.found(&["models", "policy", "prices", PROFILES]).await?;
        let profiles = self.optional::<ProfilesDocument>(&mut found, PROFILES).await?;
        Ok(TargetDocuments {
            models: self.needed(&mut found, "models").await?,
            policy: self.needed(&mut found, "policy").await?,
            prices: self.needed(&mut found, "prices").await?,
            profiles: profiles.unwrap_or_default().profiles,
        })
    }

    async fn found(&self, names: &[&str]) -> Result<Found, Fault> {
        let names: Vec<String> =
            names.iter().map(|name| parameter_name(self.environment, name)).collect();
        self.parameters.parameters(&names).await
    }

    async fn needed<T: Document>(&self, found: &mut Found, name: &str) -> Result<T, Fault> {
        let document = self.optional(found, name).await?;
        let parameter = parameter_name(self.environment, name);
        document.ok_or_else(|| Fault::internal(format!("the SSM parameter {parameter} is missing")))
    }

    async fn optional<T: Document>(
        &self,
        found: &mut Found,
        name: &str,
    ) -> Result<Option<T>, Fault> {
        let parameter = parameter_name(self.environment, name);
        let Some(value) = found.remove(&parameter) else { return Ok(None) };
        let text = follow_pointer(self.store, self.bucket, &value.value).await?;
        let document = text.and_then(|text| from_yaml::<T>(&text).finished());
        let invalid = |problems| {
            Fault::internal(format!("the SSM parameter {parameter} is invalid: {problems}"))
        };
        document.map(Some).map_err(invalid)
    }
}

type Bodies<'a> = BTreeMap<&'a str, Result<String, Problems>>;

/// The document of a stack without budgets.
const NO_BUDGETS: &str = "version: 1\n";
/// The document of a stack whose configuration was pushed before there were descriptions of profiles.
const NO_PROFILES: &str = "version: 1\nprofiles: []\n";

fn parse(
    [models, routing, policy, prices, template, profiles, budgets]: &[String; 7],
    bodies: &Bodies<'_>,
) -> Read {
    let mut problems = Problems::default();
    let models = document(models, bodies, &mut problems);
    let routing = document(routing, bodies, &mut problems);
    let policy_sha256 = sha256(policy, bodies);
    let policy = document(policy, bodies, &mut problems);
    let prices = document(prices, bodies, &mut problems);
    let template_sha256 = sha256(template, bodies);
    let template = document(template, bodies, &mut problems);
    let profiles = document::<ProfilesDocument>(profiles, bodies, &mut problems);
    let budgets = document(budgets, bodies, &mut problems);
    match (models, routing, policy, prices, template, profiles, budgets) {
        (
            Some(models),
            Some(routing),
            Some(policy),
            Some(prices),
            Some(template),
            Some(ProfilesDocument { profiles, .. }),
            Some(budgets),
        ) => Ok(Configuration {
            template,
            template_sha256,
            models,
            routing,
            policy,
            policy_sha256,
            prices,
            profiles,
            budgets,
        }),
        _ => Err(problems),
    }
}

fn sha256(name: &str, bodies: &Bodies<'_>) -> String {
    bodies[name].as_ref().map(|body| sha256_hex(body.as_bytes())).unwrap_or_default()
}

fn document<T: Document>(name: &str, bodies: &Bodies<'_>, problems: &mut Problems) -> Option<T> {
    let read = bodies[name].clone().and_then(|body| from_yaml(&body).finished());
    read.map_err(|found| problems.extend(found.within(name))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{MemoryParameters, MemoryStore, now};

    const WORKFLOW: &str = include_str!("../../../../infra/config/dev/workflows/explain.yaml");
    const KEY: &str = "config/workflows/explain/x.yaml";

    fn parameters() -> BTreeMap<String, String> {
        let pointer = Pointer::to("b", KEY, WORKFLOW.as_bytes());
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

    /// Reads `workflow` from a fake bucket and a fake SSM.
    async fn read(parameters: BTreeMap<String, String>, body: &[u8], workflow: &str) -> Read {
        let store = MemoryStore::with([(KEY.to_owned(), body.to_vec())]);
        let parameters = MemoryParameters(parameters);
        let source =
            Reader { store: &store, parameters: &parameters, bucket: "b", environment: "dev" };
        source.read(workflow).await.unwrap()
    }

    #[test]
    fn a_whole_configuration_is_read_with_its_digests() {
        let read = now(read(parameters(), WORKFLOW.as_bytes(), "explain")).unwrap();
        assert_eq!(read.template_sha256, sha256_hex(WORKFLOW.as_bytes()));
        assert_eq!(read.template.name, "explain");
    }

    #[test]
    fn profiles_and_budgets_are_read_if_there_are_any() {
        let mut parameters = parameters();
        let none = now(read(parameters.clone(), WORKFLOW.as_bytes(), "explain")).unwrap();
        assert!(none.profiles.is_empty() && none.budgets.revision == 0);
        let profile = r#"{ "region": "r", "id": "arn:x", "model": "m", "regions": ["r"] }"#;
        let document = format!(r#"{{ "version": 1, "profiles": [{profile}] }}"#);
        parameters.insert("/bcce/dev/profiles".into(), document);
        parameters.insert("/bcce/dev/budgets".into(), "version: 1\n".into());
        let read = now(self::read(parameters, WORKFLOW.as_bytes(), "explain")).unwrap();
        assert_eq!(read.profiles.resolve("r", "arn:x"), "m");
        assert_eq!(read.budgets.revision, 1, "the version of the parameter");
    }

    #[test]
    fn what_is_wrong_with_any_document_is_reported_at_once() {
        let mut parameters = parameters();
        parameters.remove("/bcce/dev/prices");
        parameters.insert("/bcce/dev/policy".into(), "version: 2\nregions: []\n".into());
        parameters.insert("/bcce/dev/routing".into(), "version: [".into());
        parameters.insert("/bcce/dev/profiles".into(), r#"{"version":2,"profiles":[]}"#.into());
        let reported = now(read(parameters, b"version: 1", "explain")).unwrap_err().to_string();
        for part in [
            "/bcce/dev/prices: document: the SSM parameter is missing",
            "/bcce/dev/policy: regions: is unknown; there are: version, allowed_regions",
            "/bcce/dev/policy: version: must be 1",
            "/bcce/dev/routing: document: ",
            "/bcce/dev/profiles: version: must be 1",
            "/bcce/dev/workflows/explain: sha256: config/workflows/explain/x.yaml has the digest",
        ] {
            assert!(reported.contains(part), "{part} is missing in {reported}");
        }
    }

    #[test]
    fn a_pointer_that_leads_nowhere_or_elsewhere_is_reported() {
        let reported = |uri: &str, body: &[u8]| {
            let mut parameters = parameters();
            let pointer = Pointer { uri: uri.into(), sha256: sha256_hex(body) };
            let value = serde_json::to_string(&pointer).unwrap();
            parameters.insert("/bcce/dev/workflows/explain".into(), value);
            now(read(parameters, body, "explain")).unwrap_err().to_string()
        };
        assert!(
            reported("s3://b/config/gone", b"").contains("explain: uri: there is no config/gone")
        );
        let mut malformed = parameters();
        malformed.insert("/bcce/dev/workflows/explain".into(), r#"{"uri":"s3://b/x"}"#.into());
        let malformed = now(read(malformed, b"", "explain")).unwrap_err().to_string();
        assert!(malformed.contains("explain: document: invalid pointer"), "{malformed}");
        assert!(reported("s3://other/x", b"").contains("explain: uri: must lie in s3://b/"));
        let not_text = reported(&format!("s3://b/{KEY}"), b"name: \xff");
        assert!(not_text.contains("is not UTF-8 from byte 6 on"), "{not_text}");
    }

    #[test]
    fn an_unknown_workflow_is_named() {
        let reported = now(read(parameters(), WORKFLOW.as_bytes(), "explian")).unwrap_err();
        let expected = "workflow: there is no workflow explian: the SSM parameter /bcce/dev/workflows/explian is missing";
        assert_eq!(reported.to_string(), expected);
    }
}
