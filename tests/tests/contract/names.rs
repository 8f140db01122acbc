//! Checks that code, template, state machines and samples use the same names.

use std::fs;

use crate::template::{camel, functions, read, root, template, variables};

/// Each function folder has a resource, a role, a log group and a sample event with its name.
#[test]
fn every_function_has_its_resource_role_log_group_and_event() {
    let template = template();
    for name in functions() {
        let camel = camel(&name);
        let resource = |kind: &str| &template["Resources"][format!("{camel}{kind}")];
        let function = &resource("Function")["Properties"];
        assert_eq!(function["CodeUri"], format!("../target/lambda/{name}/bootstrap.zip"), "{name}");
        assert_eq!(function["Role"], format!("{camel}Role.Arn"), "{name}");
        assert_eq!(function["LoggingConfig"]["LogGroup"], format!("{camel}LogGroup"), "{name}");
        assert_eq!(resource("Role")["Type"], "AWS::IAM::Role", "{name}");
        assert_eq!(resource("LogGroup")["Type"], "AWS::Logs::LogGroup", "{name}");
        let events = fs::read_dir(root().join("events").join(&name))
            .unwrap_or_else(|e| panic!("events/{name}: {e}"));
        assert!(events.count() > 0, "events/{name} has no sample");
    }
}

/// Each function of the template has a folder below functions/.
#[test]
fn every_function_of_the_template_has_its_folder() {
    let folders: Vec<String> =
        functions().iter().map(|name| format!("{}Function", camel(name))).collect();
    for (name, resource) in template()["Resources"].as_object().unwrap() {
        let is_function = resource["Type"] == "AWS::Serverless::Function";
        assert!(!is_function || folders.contains(name), "{name} has no folder under functions/");
    }
}

/// A function reads exactly the environment variables that the template gives it.
#[test]
fn every_variable_is_given_and_read() {
    let template = template();
    // The variables of all functions are read in one place.
    let shared = read("crates/bcce-aws/src/sdk_config.rs");
    let of_all = template["Globals"]["Function"]["Environment"]["Variables"].as_object().unwrap();
    for variable in of_all.keys().filter(|variable| *variable != "BCCE_ENVIRONMENT") {
        assert!(shared.contains(&format!("\"{variable}\"")), "{variable} is read by no function");
    }
    for name in functions() {
        let source: String = fs::read_dir(root().join("functions").join(&name).join("src"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let given = variables(&template, &name);
        for variable in given.keys().filter(|variable| !of_all.contains_key(*variable)) {
            assert!(
                source.contains(&format!("\"{variable}\"")),
                "{name} is given {variable} and does not read it"
            );
        }
        for variable in source.split('"').filter(|word| word.starts_with("BCCE_")) {
            assert!(given.contains_key(variable), "{name} reads {variable} and is not given it");
        }
    }
}

/// The outputs, which are a public interface, exist under their names, and are in the parameter that `bcce` reads.
#[test]
fn the_outputs_keep_their_names() {
    let outputs: Vec<String> = template()["Outputs"].as_object().unwrap().keys().cloned().collect();
    for name in [
        "InboxQueueUrl",
        "DeadLetterQueueUrl",
        "WorkflowArn",
        "BatchArn",
        "FinalizeArn",
        "ArtifactBucket",
        "ArtifactKeyArn",
        "SigningKeyArn",
        "NotificationsTopicArn",
        "WebhookUrl",
        "LedgerTable",
    ] {
        assert!(outputs.contains(&name.to_owned()), "{name} is a public name and is missing");
    }
    // `bcce` finds all resources of the stack through this parameter.
    let parameter = template()["Resources"]["StackParameter"]["Properties"]["Value"].to_string();
    for name in &outputs {
        assert!(
            parameter.contains(name.as_str()),
            "{name} is missing in the parameter /bcce/<env>/stack"
        );
    }
}

/// `bcce doctor` compares the version in the parameter with its own, which is that of the workspace.
#[test]
fn the_parameter_of_the_stack_has_the_version_of_the_workspace() {
    let parameter = template()["Resources"]["StackParameter"]["Properties"]["Value"].to_string();
    let version = format!(r#"\"Version\":\"{}\""#, env!("CARGO_PKG_VERSION"));
    assert!(parameter.contains(&version), "{version} is missing in {parameter}");
}

/// Each sample in events/ is valid JSON.
#[test]
fn every_event_parses() {
    for folder in fs::read_dir(root().join("events")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).unwrap();
                serde_json::from_str::<serde_json::Value>(&text)
                    .unwrap_or_else(|error| panic!("{path:?}: {error}"));
            }
        }
    }
}

/// Each sample in events/request is a valid request.
#[test]
fn every_sample_request_is_a_request() {
    for file in fs::read_dir(root().join("events/request")).unwrap() {
        let path = file.unwrap().path();
        let body = fs::read_to_string(&path).unwrap();
        bcce_core::run::request::Request::parse(&body).unwrap_or_else(|p| panic!("{path:?}: {p}"));
    }
}

/// The first JSON sample of README.md is a valid request.
#[test]
fn the_sample_request_of_the_readme_is_a_request() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("```json\n").expect("README.md shows a request");
    let (sample, _) = rest.split_once("```").unwrap();
    bcce_core::run::request::Request::parse(sample).unwrap();
}

/// The glossary's tables name every function, state machine and key prefix of the ledger.
#[test]
fn the_glossary_lists_every_part_of_the_stack() {
    let glossary = read("docs/glossary.md");
    let machines = fs::read_dir(root().join("statemachines")).unwrap();
    let machines = machines.map(|file| file.unwrap().file_name().into_string().unwrap());
    let machines = machines.map(|file| file.trim_end_matches(".asl.json").to_owned());
    let ledger = read("crates/bcce-core/src/ledger.rs");
    let keys = ledger.split("fn ").filter(|function| {
        let name = function.split('(').next().unwrap();
        name.ends_with("_pk") || name.ends_with("_shard")
    });
    // A key that is sharded has its prefix in the function of the shard.
    let prefixes = keys.filter_map(|key| {
        let (_, text) = key.split_once("format!(\"")?;
        Some(format!("{}#", text.split('#').next().unwrap()))
    });
    let parts: Vec<String> = functions().into_iter().chain(machines).chain(prefixes).collect();
    assert!(parts.len() > 25, "{parts:?}");
    for part in parts {
        assert!(glossary.contains(&format!("`{part}`")), "docs/glossary.md does not list {part}");
    }
}
