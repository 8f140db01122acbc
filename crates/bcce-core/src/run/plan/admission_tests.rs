//! Tests of admission. They are here because they need a plan, which `config` cannot build.

use serde_json::json;

use super::tests::of;
use crate::base::error::ErrorName;
use crate::config::policy::Policy;

const ONE: &str =
    "version: 1\nname: w\nREQUEST_MODELS\nsteps:\n- { id: a, model: sonnet, prompt: p }\n";

fn template(request_models: &str) -> String {
    ONE.replace("REQUEST_MODELS", request_models)
}

#[test]
fn a_requests_model_is_refused_unless_the_workflow_lists_it() {
    let plan = |listed: &str, model: &str| {
        let request = json!({ "workflow": "w", "model": model });
        of(&template(listed), request, Policy::default())
    };
    let refused = plan("", "haiku").unwrap_err();
    assert_eq!(refused.name, ErrorName::PolicyViolation);
    let reported = "model: haiku is not among the models that a request may name: w allows none; leave `model` out";
    assert!(refused.message.starts_with(reported), "{refused}");
    let refused = plan("request_models: [opus, son*]", "haiku").unwrap_err();
    assert!(refused.message.contains("w allows: opus, son*"), "{refused}");
    assert_eq!(plan("request_models: [haiku]", "haiku").unwrap().steps[0].model, "haiku");
    assert!(plan("request_models: [\"*\"]", "opus").is_ok());
    assert!(of(&template(""), json!({ "workflow": "w" }), Policy::default()).is_ok());
}

#[test]
fn what_a_tenant_may_not_do_is_refused_in_its_plan() {
    let policy = "version: 1\ntenants: { default: { workflows: [other], models: [haiku] } }\n";
    let policy: Policy = crate::document::from_yaml(policy).finished().unwrap();
    let refused = of(&template(""), json!({ "workflow": "w" }), policy).unwrap_err();
    assert_eq!(refused.name, ErrorName::PolicyViolation);
    for part in ["workflow: tenant default may not start w", "steps.a.model: tenant default"] {
        assert!(refused.message.contains(part), "{part} is missing in {refused}");
    }
}

/// Routes copy the policy into decisions and artifacts, which the tenant may read.
#[test]
fn a_plan_has_nothing_of_what_other_tenants_may_do() {
    let policy = "version: 1\nallowed_regions: [us-east-1, us-east-2, us-west-2]\ntenants: { default: { workflows: [\"*\"], models: [\"*\"] }, rival: { workflows: [], models: [] } }\n";
    let policy: Policy = crate::document::from_yaml(policy).finished().unwrap();
    let plan = of(&template(""), json!({ "workflow": "w" }), policy).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains("us-east-2") && !text.contains("rival"), "{text}");
}
