//! Checks the templates that the main template nests: what it passes to them, what they refer to, and how they name their
//! resources. [`template`] puts all of them together for the other tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::template::{COMPANIONS, Nested, nested, read, root, template, template_of};

fn every_nested() -> BTreeMap<String, Nested> {
    let nested = nested(&template_of("template"));
    assert_eq!(nested.keys().collect::<Vec<_>>(), ["Alarms", "Batches", "Dashboard"]);
    nested
}

/// Returns the text of a template without its comments.
fn text(name: &str) -> String {
    let text = read(&format!("infra/{name}.yaml"));
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the names that a template's text refers to: `!Ref <name>`, `!GetAtt <name>.<attribute>` and `${<name>}`.
fn references(text: &str) -> BTreeSet<String> {
    let after = |marker: &str| -> Vec<String> {
        let parts = text.split(marker).skip(1);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '.';
        parts.map(|part| part.split(|c| !is_name(c)).next().unwrap().to_owned()).collect()
    };
    let attributes = after("!GetAtt ").into_iter();
    let owners = attributes.map(|name| name.split('.').next().unwrap().to_owned());
    ["!Ref ", "${"].into_iter().flat_map(after).chain(owners).collect()
}

fn names(section: &Value) -> BTreeSet<String> {
    section.as_object().into_iter().flat_map(|it| it.keys().cloned()).collect()
}

/// Returns the variables that a template gives to a text by `!Sub [<text>, { <variable>: ... }]`.
fn variables(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(parts) if parts.len() == 2 && parts[0].is_string() && parts[1].is_object() => {
            names(&parts[1])
        }
        Value::Array(values) => values.iter().flat_map(variables).collect(),
        Value::Object(fields) => fields.values().flat_map(variables).collect(),
        _ => BTreeSet::new(),
    }
}

/// Each file infra/*.yaml is one that the tests read. A new one that nothing deploys fails here.
#[test]
fn every_template_is_the_main_one_or_nested_in_it_or_a_companion() {
    let nested = every_nested().into_values().map(|it| it.name);
    let known = nested.chain(COMPANIONS.into_iter().chain(["template"]).map(str::to_owned));
    let files = fs::read_dir(root().join("infra")).unwrap().map(|entry| entry.unwrap().path());
    let templates = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
    let found = templates.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    assert_eq!(found.collect::<BTreeSet<_>>(), known.collect());
}

/// A nested template declares the parameters that the main one passes, without defaults, and refers to each of them.
#[test]
fn every_parameter_of_a_nested_template_is_passed_and_used() {
    for Nested { name, template, parameters } in every_nested().into_values() {
        let wanted = names(&template["Parameters"]);
        assert_eq!(
            parameters.keys().cloned().collect::<BTreeSet<_>>(),
            wanted,
            "infra/{name}.yaml"
        );
        let used = references(&text(&name));
        let unused: Vec<_> = wanted.difference(&used).collect();
        assert!(unused.is_empty(), "infra/{name}.yaml does not use {unused:?}");
        for (parameter, declared) in template["Parameters"].as_object().unwrap() {
            // With a default, a parameter that is not passed would not be reported.
            assert!(
                declared["Default"].is_null(),
                "{parameter} of infra/{name}.yaml has a default"
            );
        }
    }
}

/// A parameter has the name of what the main template passes for it. A stack with the wrong value, such as the ARN of
/// another function, would deploy.
#[test]
fn a_parameter_of_a_nested_template_is_what_its_name_says() {
    for Nested { name, parameters, .. } in every_nested().into_values() {
        for (parameter, value) in &parameters {
            // A resource that exists on a condition is passed as `!If [<condition>, <resource>, ""]`.
            let value = value.as_str().or_else(|| value[1].as_str()).unwrap();
            let (owner, attribute) = value.split_once('.').unwrap_or((value, ""));
            let stem = |suffix: &str| parameter.strip_suffix(suffix);
            let is_right = parameter == value
                || stem("Arn") == Some(owner) && ["", "Arn"].contains(&attribute)
                || stem("Name") == Some(owner) && ["", "QueueName"].contains(&attribute)
                || attribute == format!("Outputs.{parameter}")
                || (parameter.as_str(), value) == ("Stack", "AWS::StackName");
            assert!(is_right, "{parameter} of infra/{name}.yaml is {value}");
        }
    }
}

/// A nested template refers to its own parameters, resources and conditions only, and uses each of its conditions.
#[test]
fn every_reference_of_a_nested_template_resolves() {
    for Nested { name, template, .. } in every_nested().into_values() {
        let text = text(&name);
        let mut known = names(&template["Parameters"]);
        known.extend(names(&template["Resources"]));
        known.extend(
            ["AWS::AccountId", "AWS::NoValue", "AWS::Partition", "AWS::Region"].map(str::to_owned),
        );
        known.extend(variables(&template));
        let unknown: Vec<_> = references(&text).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "infra/{name}.yaml refers to {unknown:?}");
        let conditions = names(&template["Conditions"]);
        for marker in ["!If [", "!If\n          - ", "    Condition: "] {
            for part in text.split(marker).skip(1) {
                let condition = part.split([',', '\n']).next().unwrap();
                assert!(conditions.contains(condition), "infra/{name}.yaml: {condition}");
            }
        }
        for condition in &conditions {
            let is_used = |marker: &str| text.contains(&format!("{marker}{condition}"));
            let in_if = is_used("!If [") || is_used("!If\n          - ");
            assert!(in_if || is_used("Condition: "), "infra/{name}.yaml: {condition}");
        }
    }
}

/// The main template uses each output of its nested stacks and no other one.
#[test]
fn every_output_of_a_nested_template_is_used_and_exists() {
    let main = text("template");
    let mut wanted = BTreeSet::new();
    for (stack, nested) in every_nested() {
        wanted.extend(
            names(&nested.template["Outputs"]).iter().map(|it| format!("{stack}.Outputs.{it}")),
        );
    }
    let words = main.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    let used = words.filter(|word| word.contains(".Outputs.")).map(str::to_owned);
    assert_eq!(used.collect::<BTreeSet<_>>(), wanted);
}

/// Each resource of a nested template has a name that contains the name of the main stack. In a nested stack
/// `AWS::StackName` is generated, and the name of a resource without one is made of it.
#[test]
fn a_nested_template_makes_its_names_of_the_main_stack() {
    const NAMES: [(&str, &str); 5] = [
        ("AWS::CloudWatch::Alarm", "AlarmName"),
        ("AWS::CloudWatch::Dashboard", "DashboardName"),
        ("AWS::Events::Rule", "Name"),
        ("AWS::Logs::LogGroup", "LogGroupName"),
        ("AWS::StepFunctions::StateMachine", "StateMachineName"),
    ];
    for Nested { name, template, .. } in every_nested().into_values() {
        assert!(!text(&name).contains("AWS::StackName"), "infra/{name}.yaml uses AWS::StackName");
        for (resource, it) in template["Resources"].as_object().unwrap() {
            let known = NAMES.iter().find(|(kind, _)| it["Type"] == *kind);
            let (_, property) = known.unwrap_or_else(|| panic!("{resource}: {}", it["Type"]));
            let given = it["Properties"][*property].as_str();
            let given = given.unwrap_or_else(|| panic!("{resource} has no {property}"));
            assert!(given.contains("${Stack}-"), "{property} of {resource} is {given}");
        }
    }
}

/// A nested template has no resources of SAM, which the emulator would not transform. All roles are in the main template.
#[test]
fn a_nested_template_has_no_resources_of_sam_and_no_roles() {
    for Nested { name, template, .. } in every_nested().into_values() {
        assert!(template["Transform"].is_null(), "infra/{name}.yaml has a transform");
        for (resource, it) in template["Resources"].as_object().unwrap() {
            let kind = it["Type"].as_str().unwrap();
            let is_plain =
                ["AWS::Serverless::", "AWS::IAM::"].iter().all(|it| !kind.starts_with(it));
            assert!(is_plain, "{resource} of infra/{name}.yaml is an {kind}");
        }
    }
}

/// A state machine receives the ARN of the function that its definition names. With the ARN of another function, its
/// executions would fail.
#[test]
fn a_state_machine_calls_the_function_that_its_definition_names() {
    let template = template();
    let mut machines = 0;
    for (machine, resource) in template["Resources"].as_object().unwrap() {
        let Some(given) = resource["Properties"]["DefinitionSubstitutions"].as_object() else {
            continue;
        };
        machines += 1;
        for (name, value) in given.iter().filter(|(name, _)| name.ends_with("FunctionArn")) {
            let function = name.strip_suffix("Arn").unwrap();
            assert_eq!(*value, format!("{function}.Arn"), "{name} of {machine}");
        }
    }
    assert_eq!(machines, 3);
}
