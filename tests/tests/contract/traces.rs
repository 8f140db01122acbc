//! Checks that X-Ray traces each function and each state machine, and that each role may send traces.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::grants::granted;
use crate::template::template;

const FUNCTION: &str = "AWS::Serverless::Function";
/// The type of the machines in the main template, and of the one in a nested template.
const MACHINES: [&str; 2] = ["AWS::Serverless::StateMachine", "AWS::StepFunctions::StateMachine"];

/// Returns the properties of the resources of these types, by name.
fn resources(of: &[&str]) -> BTreeMap<String, Value> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap().iter();
    let of_type =
        resources.filter(|(_, resource)| of.contains(&resource["Type"].as_str().unwrap()));
    of_type.map(|(name, resource)| (name.clone(), resource["Properties"].clone())).collect()
}

/// Returns the name of the service that assumes a role.
fn principal(role: &Value) -> &str {
    let service = &role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"];
    service.as_str().unwrap_or_default()
}

/// The parameter `Tracing` turns off all traces, and no function or machine has a setting of its own.
#[test]
fn every_function_and_every_machine_is_traced_as_the_parameter_says() {
    let template = template();
    assert_eq!(template["Globals"]["Function"]["Tracing"], "Tracing");
    let parameter = &template["Parameters"]["Tracing"];
    assert_eq!(parameter["Default"], "Active");
    assert_eq!(parameter["AllowedValues"], json!(["Active", "PassThrough"]));
    let functions = resources(&[FUNCTION]);
    assert!(functions.len() > 15, "only {} functions", functions.len());
    for (name, function) in functions {
        assert_eq!(function["Tracing"], Value::Null, "{name}");
    }
    let machines = resources(&MACHINES);
    assert_eq!(machines.len(), 3);
    for (name, machine) in machines {
        let tracing = [&machine["Tracing"], &machine["TracingConfiguration"]];
        let tracing = tracing.into_iter().find(|it| !it.is_null());
        let expected = json!({ "Enabled": ["IsTraced", true, false] });
        assert_eq!(tracing, Some(&expected), "{name}");
    }
    assert_eq!(template["Conditions"]["IsTraced"], json!(["Tracing", "Active"]));
}

/// Lambda refuses a traced function whose role must not send traces. Only Step Functions decides itself what is sampled.
#[test]
fn every_role_has_exactly_the_permissions_that_its_traces_need() {
    let send = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"];
    let sample = ["xray:GetSamplingRules", "xray:GetSamplingTargets"];
    let granted = granted();
    let mut counted = BTreeMap::new();
    for (name, role) in resources(&["AWS::IAM::Role"]) {
        let service = principal(&role);
        let expected = match service {
            "lambda.amazonaws.com" => send.to_vec(),
            "states.amazonaws.com" => [sample, send].concat(),
            _ => Vec::new(),
        };
        let actions =
            granted.iter().filter(|(of, _, action)| *of == name && action.starts_with("xray:"));
        let actions: Vec<&str> = actions.map(|(_, _, action)| action.as_str()).collect();
        assert_eq!(actions, expected, "{name}");
        *counted.entry(service.to_owned()).or_insert(0) += 1;
    }
    let functions = resources(&[FUNCTION]).len();
    assert_eq!(counted.get("lambda.amazonaws.com"), Some(&functions));
    assert_eq!(counted.get("states.amazonaws.com"), Some(&resources(&MACHINES).len()));
}
