//! Tests the adapters for Bedrock's control plane and Service Quotas against the scripted model: the shipped configuration
//! is healthy, and each planted fault is found by the check that looks for it.
//!
//! It needs no stack and no emulator: `make offline`.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use bcce_aws::control::ControlPlane;
use bcce_aws::quotas::ServiceQuotas;
use bcce_core::base::target::Guardrail;
use bcce_core::config::models::Models;
use bcce_core::config::policy::{DataRetention, Policy};
use bcce_core::config::pricing::Prices;
use bcce_core::config::profiles::Profiles;
use bcce_core::document::from_yaml;
use bcce_core::io::reader::TargetDocuments;
use bcce_core::io::standby::{ReadFacts, read_facts};
use bcce_core::standby::checks::watched;
use bcce_core::standby::finding::{Check, Finding};
use bcce_tests::scripted_model::{Jobs, Model, Store, serve};
use serde_json::{Value, json};
use time::macros::datetime;
use tokio::net::TcpListener;

const MODELS: &str = include_str!("../../infra/config/dev/models.yaml");
const POLICY: &str = include_str!("../../infra/config/dev/policy.yaml");
const PRICES: &str = include_str!("../../infra/config/dev/prices.yaml");
const HAIKU: &str = "anthropic.claude-haiku-5-5";

/// A scripted model of one test.
struct World {
    model: Arc<Model>,
    control: ControlPlane,
    quotas: ServiceQuotas,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/{{region}}", listener.local_addr().unwrap());
        let model = Arc::new(Model::default());
        let jobs = Jobs::new(model.clone(), Store::default());
        tokio::spawn(serve(listener, model.clone(), Arc::new(jobs)));
        let config = config();
        Self {
            model,
            control: ControlPlane::new(&config, Some(endpoint.clone())),
            quotas: ServiceQuotas::new(&config, Some(endpoint)),
        }
    }

    fn plant(&self, plant: &Value) {
        let answer = self.model.plants.answer("POST", "/__plant", plant.to_string().as_bytes());
        assert!(answer.unwrap().is_ok(), "{plant}");
    }

    /// Returns what the checks find in the shipped configuration. Its first target has a guardrail here.
    async fn findings(&self) -> Vec<Finding> {
        let models: Models = from_yaml(MODELS).finished().unwrap();
        let mut policy: Policy = from_yaml(POLICY).finished().unwrap();
        policy.data_retention = vec![DataRetention::Default];
        let prices: Prices = from_yaml(PRICES).finished().unwrap();
        let max_tokens = BTreeMap::from([("haiku".into(), 4_000)]);
        let mut targets = watched(&models);
        let documents = TargetDocuments { models, policy, prices, profiles: Profiles::default() };
        let guardrail = Guardrail { id: "g1".into(), version: "1".into(), name: None };
        targets[0].target.guardrail = Some(guardrail);
        let read = read_facts(&self.control, &self.quotas, &targets, &documents).await;
        let ReadFacts { facts, unread } = read;
        assert!(unread.is_empty(), "{unread:?}");
        let now = datetime!(2026-11-30 12:00 UTC);
        documents.rules(&max_tokens, now).findings(&targets, &facts)
    }
}

fn config() -> SdkConfig {
    let credentials = aws_sdk_s3::config::Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::SharedCredentialsProvider::new(credentials))
        .http_client(bcce_aws::http_client().unwrap())
        .use_fips(true)
        .sleep_impl(bcce_aws::sleep_impl())
        .build()
}

#[tokio::test]
async fn the_shipped_configuration_is_healthy() {
    let found = World::start().await.findings().await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn each_planted_fault_is_found_by_its_check() {
    let of_model = |fault: Value| json!({ "region": "us-east-1", "model": HAIKU, "fault": fault });
    let faults = [
        (of_model(json!("missing")), Check::Model, "does not have the model"),
        (of_model(json!("elsewhere")), Check::Model, "does not have the model"),
        (of_model(json!("no-agreement")), Check::Access, "no agreement"),
        (of_model(json!("pending")), Check::Access, "is being created"),
        (of_model(json!({ "agreement_failed": "no card" })), Check::Access, "failed: no card"),
        (of_model(json!("denied")), Check::Access, "may not call"),
        (of_model(json!("not-entitled")), Check::Access, "is not entitled"),
        (of_model(json!("legacy")), Check::Lifecycle, "is legacy"),
        (of_model(json!({ "ends_in_days": -10_000 })), Check::EndOfLife, "reached the end"),
        (of_model(json!("no-profile")), Check::Profile, "cannot be called in us-east-1"),
        (of_model(json!({ "reach": ["us-east-1"] })), Check::Reach, "reaches us-east-1"),
        (of_model(json!({ "reach": ["ca-central-1"] })), Check::Residency, "ca-central-1"),
        (of_model(json!({ "quota": 0 })), Check::Quota, "is 0 in us-east-1"),
        (of_model(json!({ "quota": 3_999 })), Check::MaxTokens, "`max_tokens: 4000`"),
        (of_model(json!({ "started": "2026-12-01" })), Check::Price, "is from 2026-10-07"),
        (
            json!({ "region": "us-east-1", "guardrail": "g1", "fault": "missing" }),
            Check::Guardrail,
            "cannot be used in us-east-1",
        ),
        (
            json!({ "region": "us-east-1", "guardrail": "g1", "fault": { "status": "FAILED" } }),
            Check::Guardrail,
            "its status is FAILED",
        ),
        (
            json!({ "region": "us-east-1", "fault": { "retention": "provider_data_share" } }),
            Check::Retention,
            "provider_data_share",
        ),
    ];
    for (plant, check, cause) in faults {
        let world = World::start().await;
        world.plant(&plant);
        let found = world.findings().await;
        let first = found.first().unwrap_or_else(|| panic!("{plant}: nothing found"));
        assert_eq!(first.check, check, "{plant}: {found:?}");
        assert!(first.cause.contains(cause), "{plant}: {}", first.cause);
        assert!(found.iter().all(|found| found.target.region == "us-east-1"), "{found:?}");
    }
}
