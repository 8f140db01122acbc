//! Checks the state machines against the template and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bcce_core::base::error::ErrorName;
use serde_json::{Map, Value, json};

use crate::template::{read, root, template};

/// Error names that no state matches, each with the reason.
const LEFT: &[(ErrorName, &str)] = &[
    (ErrorName::InvalidRequest, "prepare returns it as `refused`"),
    (ErrorName::PolicyViolation, "prepare returns it as `refused`"),
    (ErrorName::BudgetExceeded, "prepare returns it as `refused`"),
    (ErrorName::TargetThrottled, "invoke records it in an attempt"),
    (ErrorName::TargetUnavailable, "invoke records it in an attempt"),
    (ErrorName::TargetTimeout, "invoke records it in an attempt"),
    (ErrorName::TargetBroken, "invoke records it in an attempt"),
    (ErrorName::TargetRejected, "invoke records it in an attempt"),
    (ErrorName::RequestRejected, "invoke returns it as `failed`"),
    (ErrorName::GuardrailIntervened, "invoke returns it as `failed`"),
    (ErrorName::OutputInvalid, "invoke returns it as `failed`"),
    (ErrorName::NoTarget, "the router returns it as `stop`"),
    (ErrorName::TooManyFailures, "close-batch finds it; the batch's execution fails with it"),
];

/// A state machine: the name of its file, the text and the definition.
pub struct Machine {
    pub name: String,
    pub text: String,
    pub definition: Value,
}

/// Returns the state machine of a file in statemachines/.
pub fn machine(name: &str) -> Machine {
    machines().into_iter().find(|machine| machine.name == name).unwrap()
}

/// Returns all state machines.
pub fn machines() -> Vec<Machine> {
    fs::read_dir(root().join("statemachines"))
        .unwrap()
        .map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let text = read(&format!("statemachines/{name}"));
            let definition =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            Machine { name, text, definition }
        })
        .collect()
}

/// Returns the name and the definition of each state, including those inside Maps.
pub fn states(definition: &Value) -> Vec<(String, Map<String, Value>)> {
    let mut found = Vec::new();
    for (name, state) in definition["States"].as_object().unwrap() {
        if state["ItemProcessor"].is_object() {
            found.extend(states(&state["ItemProcessor"]));
        }
        found.push((name.clone(), state.as_object().unwrap().clone()));
    }
    found
}

/// Returns each `X` of the placeholders `${X}` in a text.
fn placeholders(text: &str) -> BTreeSet<String> {
    let parts = text.split("${").skip(1);
    parts.map(|part| part.split('}').next().unwrap().to_owned()).collect()
}

/// Returns the names of the template's `DefinitionSubstitutions` for a machine.
fn substitutions(machine: &str) -> BTreeSet<String> {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let uri = format!("../statemachines/{machine}");
    // The second property is that of a machine in a nested template, which has no SAM resources.
    let resource = resources.values().find(|resource| {
        ["DefinitionUri", "DefinitionS3Location"]
            .iter()
            .any(|it| resource["Properties"][*it] == *uri)
    });
    let resource = resource.unwrap_or_else(|| panic!("no resource has the definition {machine}"));
    resource["Properties"]["DefinitionSubstitutions"].as_object().unwrap().keys().cloned().collect()
}

/// The name of a Choice is a question, such as `HasNextWave?`, and no other name is one.
#[test]
fn a_choice_is_named_as_a_question() {
    for machine in machines() {
        for (name, state) in states(&machine.definition) {
            let is_choice = state["Type"] == "Choice";
            assert_eq!(name.ends_with('?'), is_choice, "{name} of {}", machine.name);
        }
    }
}

/// Each placeholder of a machine has a substitution in the template, and the template has no other.
#[test]
fn every_placeholder_has_its_substitution_and_the_reverse() {
    for machine in machines() {
        assert_eq!(placeholders(&machine.text), substitutions(&machine.name), "{}", machine.name);
    }
}

/// States that call a function of another name, each with that name. Another state of the machine has it.
const SECOND: &[(&str, &str)] = &[("CollectPackedPart", "CollectPart")];

/// Returns the function, without `Function`, that a state with this name may call.
fn function_of(state: &str) -> &str {
    SECOND.iter().find(|(second, _)| *second == state).map_or(state, |(_, function)| function)
}

/// A state that calls a function has the name of that function, without `Function`, or is listed in [`SECOND`].
#[test]
fn a_state_that_calls_a_function_has_its_name() {
    for machine in machines() {
        for (name, state) in states(&machine.definition) {
            let called = state.get("Arguments").and_then(|a| a["FunctionName"].as_str());
            let function = function_of(&name);
            assert!(
                called.is_none_or(|arn| arn == format!("${{{function}FunctionArn}}")),
                "{name} calls {called:?}"
            );
        }
    }
}

/// No two states of a machine have the same name, even in different Maps. Step Functions refuses such a machine, and the
/// emulator does not.
#[test]
fn every_state_of_a_machine_has_a_name_of_its_own() {
    for machine in machines() {
        let mut names = BTreeSet::new();
        for (name, _) in states(&machine.definition) {
            assert!(names.insert(name.clone()), "{} has two states {name}", machine.name);
        }
    }
}

/// Returns the error names that a state's Retry and Catch match.
fn error_equals(state: &Map<String, Value>) -> Vec<String> {
    let handlers = ["Retry", "Catch"].iter().filter_map(|kind| state.get(*kind)?.as_array());
    let names = handlers.flatten().flat_map(|handler| handler["ErrorEquals"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Each error name that a state matches is one of AWS or of [`ErrorName`]. Each name of [`ErrorName`] is matched by a
/// state or listed in [`LEFT`], and not both.
#[test]
fn every_matched_error_exists_and_every_error_name_is_matched_or_listed() {
    let error_names: BTreeSet<&str> = ErrorName::ALL.iter().map(|name| name.as_str()).collect();
    let mut matched = BTreeSet::new();
    for machine in machines() {
        for (state_name, state) in states(&machine.definition) {
            for error in error_equals(&state) {
                let prefixes = ["States.", "Lambda.", "StepFunctions.", "Sfn."];
                let is_of_aws = prefixes.iter().any(|prefix| error.starts_with(prefix));
                assert!(
                    is_of_aws || error_names.contains(error.as_str()),
                    "{state_name} matches {error}, which does not exist"
                );
                matched.insert(error);
            }
        }
        for word in machine.text.split('"').filter(|word| word.starts_with("Bcce.")) {
            assert!(
                error_names.contains(word),
                "{} names {word}, which does not exist",
                machine.name
            );
        }
    }
    for name in ErrorName::ALL {
        let left = LEFT.iter().any(|(left, _)| left == name);
        assert_ne!(
            matched.contains(name.as_str()),
            left,
            "{name} must be either matched by a state or listed in LEFT"
        );
    }
}

/// A state may match an error name that AWS does not document, as those of integrations are. Then its Catch of
/// `States.ALL` must not lead to the end of the item, because the real name may be spelled differently.
#[test]
fn no_state_relies_on_an_undocumented_error_name() {
    const PROMISED: &[&str] = &["States.TaskFailed", "States.Timeout", "States.ALL"];
    const LAMBDA_HAS_NO_PLACE: &str = "Lambda.TooManyRequestsException";
    for machine in machines() {
        let states: BTreeMap<_, _> = states(&machine.definition).into_iter().collect();
        for (name, state) in &states {
            let is_known = |error: &str| error.starts_with("Bcce.") || error == LAMBDA_HAS_NO_PLACE;
            let unsure = |error: &String| !PROMISED.contains(&error.as_str()) && !is_known(error);
            if !error_equals(state).iter().any(unsure) {
                continue;
            }
            let catch = &state["Catch"][0];
            assert_eq!(catch["ErrorEquals"], json!(["States.ALL"]), "{name}");
            let next = &states[catch["Next"].as_str().unwrap()];
            assert_ne!(
                next["Type"], "Succeed",
                "{name} gives up at an error name that AWS does not document"
            );
            assert_ne!(
                next["Type"], "Fail",
                "{name} gives up at an error name that AWS does not document"
            );
        }
    }
}

/// The page on errors lists the error names of the code, in the same order. Other people's programs match these names,
/// so a change is made in the documentation first.
#[test]
fn the_documented_names_are_the_codes() {
    let documentation = read("docs/errors.md");
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let in_code: Vec<&str> = ErrorName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(rows.collect::<Vec<_>>(), in_code);
}

/// Each Task has a Comment, a Retry, a Catch, and a timeout longer than its function's. A Task that times out does not
/// stop its function, so the function must end first.
#[test]
fn every_task_outlives_its_function_and_says_what_it_is_for() {
    let template = template();
    for machine in machines() {
        for (name, state) in
            states(&machine.definition).iter().filter(|(_, state)| state["Type"] == "Task")
        {
            let seconds = state.get("TimeoutSeconds").and_then(Value::as_u64);
            let seconds = seconds.unwrap_or_else(|| panic!("{name} has no TimeoutSeconds"));
            let function = format!("{}Function", function_of(name));
            let function = &template["Resources"][function]["Properties"]["Timeout"];
            assert!(
                function.as_u64().is_none_or(|function| seconds > function),
                "{name}: {seconds} s is too short"
            );
            assert!(state.contains_key("Comment"), "{name} has no Comment");
            assert!(
                state.contains_key("Retry") && state.contains_key("Catch"),
                "{name} has no Retry or no Catch"
            );
        }
    }
}

/// The timeouts of `invoke` and `prepare` in the template equal the constants of the code. The finalize machine waits
/// that long for the calls of a run.
#[test]
fn the_timeouts_of_the_template_are_those_of_the_code() {
    use bcce_core::base::limits::{INVOKE_SECONDS, PREPARE_SECONDS};
    let template = template();
    for (function, expected) in [("Invoke", INVOKE_SECONDS), ("Prepare", PREPARE_SECONDS)] {
        let function = &template["Resources"][format!("{function}Function")]["Properties"];
        assert_eq!(function["Timeout"].as_u64(), Some(expected));
    }
}

/// An expression is written in the query language of its state. In a JSONPath machine each JSONata state must name its
/// language, because otherwise its expressions are plain text.
#[test]
fn every_expression_is_in_a_state_of_its_language() {
    for machine in machines() {
        let of_machine = machine.definition.get("QueryLanguage").unwrap_or(&Value::Null);
        for (name, mut state) in states(&machine.definition) {
            let language = state.get("QueryLanguage").unwrap_or(of_machine).clone();
            // The states within a Map are checked by themselves.
            state.remove("ItemProcessor");
            let text = Value::Object(state).to_string();
            let (jsonata, paths) =
                (text.contains("{%"), text.contains(".$\":") || text.contains("Path\":"));
            assert!(
                !jsonata || language == "JSONata",
                "{name} of {} has JSONata, which is not its language",
                machine.name
            );
            assert!(
                !paths || language != "JSONata",
                "{name} of {} has JSONPath, which is not its language",
                machine.name
            );
        }
    }
}

/// Returns the names of the variables that a state assigns.
fn assigned(state: &Map<String, Value>) -> impl Iterator<Item = &String> {
    state.get("Assign").and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// No variable within a Map has the name of a variable outside. Step Functions refuses such a machine, and the emulator
/// does not.
#[test]
fn no_inner_variable_hides_an_outer_one() {
    for machine in machines() {
        let top = machine.definition["States"].as_object().unwrap();
        let outer: BTreeSet<&String> =
            top.values().filter_map(Value::as_object).flat_map(assigned).collect();
        for (name, map) in top.iter().filter(|(_, state)| state["ItemProcessor"].is_object()) {
            for (inner, state) in states(&map["ItemProcessor"]) {
                let hidden: Vec<&String> =
                    assigned(&state).filter(|name| outer.contains(name)).collect();
                assert!(hidden.is_empty(), "{inner} in {name} hides {hidden:?}");
            }
        }
    }
}

/// A router round has exactly the states for which the size of an execution's history is computed. A further state
/// changes the arithmetic in `bcce_core::run::history`.
#[test]
fn a_router_round_has_the_states_that_are_counted() {
    let step =
        &machine("workflow.asl.json").definition["States"]["RunWave"]["ItemProcessor"]["States"];
    let names: Vec<&str> = step.as_object().unwrap().keys().map(String::as_str).collect();
    let counted: BTreeSet<&str> = [
        "FailoverRouter",
        "ShouldWait?",
        "Backoff",
        "Invoke",
        "IsExhausted?",
        "StepEnded",
        "StepBroken",
    ]
    .into();
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), counted);
}

/// The rounds of a packed part fit into the history of an execution, which Step Functions limits to 25,000 events. A round
/// has five events of RunPart, two of IsPartOver? and two of WaitForPart.
#[test]
fn the_rounds_of_a_part_fit_into_the_history() {
    let states =
        &machine("batch.asl.json").definition["States"]["RunParts"]["ItemProcessor"]["States"];
    let conditions = states["IsPartOver?"]["Choices"].as_array().unwrap().iter();
    let conditions = conditions.map(|choice| choice["Condition"].as_str().unwrap());
    let limits: Vec<u64> = conditions
        .filter_map(|condition| {
            condition.split_once("rounds < ")?.1.split(' ').next()?.parse().ok()
        })
        .collect();
    assert_eq!(limits, [2_000; 2]);
    assert!(
        limits[0] * (5 + 2 + 2) < 20_000,
        "the rest is for retries and for collecting the part"
    );
}

/// Removes the fields in which the finalize machine may differ from a state and the states within it: longer retries,
/// other next states, and the status with which the execution ended.
fn common_part(state: &Value) -> Value {
    let mut common = state.clone();
    for field in ["Comment", "Next", "Default"] {
        common.as_object_mut().unwrap().remove(field);
    }
    for (fields, ended) in [("/ItemSelector", "ended.$"), ("/Arguments/Payload", "ended")] {
        if let Some(fields) = common.pointer_mut(fields).and_then(Value::as_object_mut) {
            fields.remove(ended);
        }
    }
    for handler in ["Retry", "Catch"] {
        for handler in common[handler].as_array_mut().into_iter().flatten() {
            let may_differ = ["Next", "IntervalSeconds", "MaxDelaySeconds", "MaxAttempts"];
            handler
                .as_object_mut()
                .unwrap()
                .retain(|field, _| !may_differ.contains(&field.as_str()));
        }
    }
    if let Some(states) = state["ItemProcessor"]["States"].as_object() {
        for (name, inner) in states {
            let mut inner = common_part(inner);
            // The states within have the same order in both machines.
            for field in ["Next", "Default"] {
                inner[field] = states[name][field].clone();
            }
            common["ItemProcessor"]["States"][name] = inner;
        }
    }
    common.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    common
}

/// The finalize machine has copies of some states of the batch machine, which do the same. It cannot share them,
/// because a Distributed Map runs only children of its own machine.
#[test]
fn the_states_that_finalize_a_batch_do_what_the_batch_machine_does() {
    let definition = |name: &str| machine(name).definition["States"].clone();
    let (batch, finalize) = (definition("batch.asl.json"), definition("finalize.asl.json"));
    let copies = ["BulkJob", "JobsFinished?", "WaitForJobs", "TakeParts", "CollectParts"];
    for name in copies {
        assert!(batch[name].is_object(), "{name}");
        assert_eq!(common_part(&finalize[name]), common_part(&batch[name]), "{name}");
    }
    // The two Maps that collect parts do it in the same way.
    let within = |map: &str, state: &str| batch[map]["ItemProcessor"]["States"][state].clone();
    assert_eq!(
        common_part(&within("RunParts", "CollectPackedPart")),
        common_part(&within("CollectParts", "CollectPart"))
    );
    let called = |states: &Value, name: &str| states[name]["Arguments"]["FunctionName"].clone();
    for name in ["OpenBatch", "CloseBatch"] {
        assert_eq!(called(&finalize, name), called(&batch, name));
    }
}
