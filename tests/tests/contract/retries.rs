//! Compares the Retry rules of the state machines with one table.

use std::collections::BTreeMap;

use bcce_core::base::limits::{MAX_BATCH_EXECUTION_SECONDS, MAX_EXECUTION_SECONDS};
use bcce_core::run::history::{
    PLACE_FIRST_SECONDS, PLACE_LONGEST_SECONDS, PLACE_TRIES, WAVE_CONCURRENCY,
};
use serde_json::{Value, json};

use crate::asl::{Machine, machine, machines, states};

/// One line of a Retry. The wait doubles after each try, up to `longest` seconds, with full jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rule {
    errors: &'static [&'static str],
    /// The first wait, in seconds.
    first: u64,
    /// The longest wait, in seconds.
    longest: u64,
    tries: u64,
}

const FAULTS: &[&str] = &["Bcce.Internal", "States.TaskFailed", "States.Timeout"];

/// All concurrency of the function is in use. Nothing is wrong, so the run waits until its time is up.
const BUSY: Rule = Rule {
    errors: &["Lambda.TooManyRequestsException"],
    first: PLACE_FIRST_SECONDS,
    longest: PLACE_LONGEST_SECONDS,
    tries: PLACE_TRIES,
};
/// A fault within a step. Each try of Invoke may pay for another call, and the history counts them.
const STEP: Rule = Rule { errors: FAULTS, first: 1, longest: 20, tries: 3 };
/// A fault elsewhere.
const FAULT: Rule = Rule { errors: FAULTS, first: 1, longest: 60, tries: 6 };
/// A fault of a state that no other state replaces. The state is retried for about half a day.
const PATIENT: Rule = Rule { errors: FAULTS, first: 5, longest: 1_800, tries: 60 };
/// Step Functions accepts no further execution at the moment.
const START: Rule = Rule {
    errors: &[
        "StepFunctions.ExecutionLimitExceeded",
        "StepFunctions.ExecutionLimitExceededException",
        "StepFunctions.ThrottlingException",
        "StepFunctions.AWSStepFunctionsException",
        "StepFunctions.SdkClientException",
    ],
    first: 2,
    longest: 120,
    tries: 30,
};

/// Returns the rule for an execution that does not exist, which a retry does not change.
fn missing() -> Value {
    json!({
        "ErrorEquals": ["Sfn.ExecutionDoesNotExist", "Sfn.ExecutionDoesNotExistException"],
        "MaxAttempts": 0,
    })
}

impl Rule {
    /// Returns the rule as JSON of the state machine.
    fn written(&self) -> Value {
        json!({
            "ErrorEquals": self.errors, "IntervalSeconds": self.first, "BackoffRate": 2,
            "MaxDelaySeconds": self.longest, "MaxAttempts": self.tries, "JitterStrategy": "FULL",
        })
    }

    /// Returns the average sum of all waits, in seconds. With full jitter, a wait takes half of its length on average.
    fn seconds(&self) -> u64 {
        (0..self.tries).map(|n| (self.first << n.min(32)).min(self.longest)).sum::<u64>() / 2
    }
}

/// Returns the rule for the faults of a Task.
fn fault_rule(machine: &str, state: &str) -> Rule {
    match (machine, state) {
        ("workflow", "FailoverRouter" | "Invoke") => STEP,
        // The Catch of these two continues without an answer. It tries again later, or uses the event alone.
        ("finalize", "BulkJob" | "DescribeExecution") => FAULT,
        // Without these states, answers that are paid would not be counted, and leftovers of bulk jobs would not run.
        ("batch", "ChooseLeftovers" | "CollectPackedPart" | "CollectPart" | "TakePart")
        | ("finalize", _) => PATIENT,
        _ => FAULT,
    }
}

/// Returns the Retry that a Task must have.
fn expected(machine: &str, state: &str, resource: &str) -> Value {
    let fault = fault_rule(machine, state).written();
    match resource.rsplit(":::").next().unwrap() {
        "lambda:invoke" => json!([BUSY.written(), fault]),
        "aws-sdk:sfn:describeExecution" => json!([missing(), fault]),
        "states:startExecution.sync:2" => json!([START.written()]),
        "sns:publish" => json!([fault]),
        other => panic!("{state} of {machine} calls {other}, which has no rule"),
    }
}

/// Returns the name of a machine, the name of a Task and the Task, for all Tasks.
fn tasks() -> Vec<(String, String, Value)> {
    let tasks_of = |machine: Machine| {
        let name = machine.name.trim_end_matches(".asl.json").to_owned();
        let tasks = states(&machine.definition).into_iter();
        tasks
            .filter(|(_, state)| state["Type"] == "Task")
            .map(move |(state_name, state)| (name.clone(), state_name, Value::Object(state)))
    };
    machines().into_iter().flat_map(tasks_of).collect()
}

/// Each Task has exactly the Retry rules of its resource, and no other state has a Retry.
#[test]
fn every_task_has_the_retry_rules_of_the_table_and_no_other() {
    for (machine, name, task) in tasks() {
        let resource = task["Resource"].as_str().unwrap();
        assert_eq!(task["Retry"], expected(&machine, &name, resource), "{name} of {machine}");
    }
    for machine in machines() {
        for (name, state) in states(&machine.definition) {
            let is_task = state["Type"] == "Task";
            assert!(
                is_task || !state.contains_key("Retry"),
                "{name} has a Retry, but is not a Task"
            );
        }
    }
}

/// Each Retry rule is on one line of its file, so that the rules can be compared by eye.
#[test]
fn every_retry_rule_stands_on_one_line() {
    for machine in machines() {
        let whole =
            |line: &&str| line.contains("\"ErrorEquals\"") && line.contains("\"MaxAttempts\"");
        let rules = machine.text.matches("\"MaxAttempts\"").count();
        assert_eq!(machine.text.lines().filter(whole).count(), rules, "{}", machine.name);
    }
}

/// The patient rule lasts at least half a day, and all states of the finalize machine have it except two whose Catch
/// does not end the machine. A run or a batch that is not finalized stays `RUNNING`.
#[test]
fn the_patient_rule_lasts_half_a_day() {
    let hours = PATIENT.seconds() / 3_600;
    assert!((12..24).contains(&hours), "{hours} hours");
    let patient: BTreeMap<_, _> = tasks()
        .into_iter()
        .filter(|(machine, name, _)| machine == "finalize" && fault_rule(machine, name) != PATIENT)
        .map(|(_, name, task)| (name, task["Catch"][0]["Next"].clone()))
        .collect();
    // These states do not need the rule, because their Catch does not end the machine.
    let expected = [("BulkJob", "JobsFinished?"), ("DescribeExecution", "IsInputKnown?")];
    assert_eq!(patient, expected.map(|(name, next)| (name.to_owned(), json!(next))).into());
}

/// The workflow machine has the timeout and the concurrency that `bcce_core::run::history` computes with.
#[test]
fn the_workflow_machine_has_the_limits_that_the_history_is_computed_for() {
    let workflow = machine("workflow.asl.json");
    assert_eq!(workflow.definition["TimeoutSeconds"], MAX_EXECUTION_SECONDS);
    let wave = &workflow.definition["States"]["RunWave"]["MaxConcurrency"];
    assert_eq!(wave.as_u64(), Some(WAVE_CONCURRENCY as u64));
}

/// The batch machine has the timeout by which slots and `sweep` reckon the longest execution.
#[test]
fn the_batch_machine_has_the_longest_time_of_a_batch() {
    let batch = machine("batch.asl.json");
    assert_eq!(batch.definition["TimeoutSeconds"], MAX_BATCH_EXECUTION_SECONDS);
}
