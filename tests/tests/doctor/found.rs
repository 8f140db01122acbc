//! Runs `bcce doctor`, and says what it has found.

use std::path::Path;
use std::process::Command;

use bcce_tests::harness::cli::ROOT;
use bcce_tests::harness::stack::output;
use serde_json::Value;

/// The findings of a run of the command.
#[derive(Debug)]
pub struct Found {
    pub exit: i32,
    findings: Vec<Value>,
}

/// Runs the command with these options and environment variables.
pub fn doctor_with(options: &[&str], variables: &[(&str, &str)]) -> Found {
    let mut command = Command::new(Path::new(ROOT).join("target/debug/bcce"));
    command.args(["--env", "dev", "doctor", "--json"]).args(options);
    let done = command.envs(variables.iter().copied()).output().unwrap();
    let output = String::from_utf8(done.stdout).unwrap();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!errors.contains("panicked"), "{errors}");
    let document: Value =
        serde_json::from_str(&output).unwrap_or_else(|e| panic!("{e}: {output}{errors}"));
    let checks = document["checks"].as_array().unwrap().clone();
    assert!(!checks.is_empty());
    let findings = checks.into_iter().filter(|check| check["state"] != "pass").collect();
    Found { exit: done.status.code().unwrap(), findings }
}

pub fn doctor() -> Found {
    doctor_with(&[], &[])
}

impl Found {
    /// Asserts that there is nothing to report.
    #[track_caller]
    pub fn nothing(&self) {
        assert!(self.findings.is_empty(), "{:#?}", self.findings);
        assert_eq!(self.exit, 0);
    }

    /// Asserts that the check `name` has the `state`, that its subject contains `subject`, and its remedy `remedy`. A
    /// failure exits with 1.
    #[track_caller]
    pub fn one(&self, name: &str, state: &str, subject: &str, remedy: &str) {
        self.some(name, state, subject, remedy);
        // A fault is found once, not with a list of others.
        assert!(self.findings.len() <= 6, "{:#?}", self.findings);
    }

    /// Asserts the same as [`Self::one`], for a fault of many resources.
    #[track_caller]
    pub fn some(&self, name: &str, state: &str, subject: &str, remedy: &str) {
        let has = |finding: &&Value, field: &str, part: &str| {
            finding[field].as_str().is_some_and(|text| text.contains(part))
        };
        let is_it = |finding: &&Value| {
            finding["name"] == name
                && finding["state"] == state
                && has(finding, "subject", subject)
                && has(finding, "remedy", remedy)
        };
        let found = self.findings.iter().any(|finding| is_it(&finding));
        assert!(found, "{name} {state} {subject} {remedy}: {:#?}", self.findings);
        if state == "fail" {
            assert!([1, 2].contains(&self.exit), "{}", self.exit);
        }
    }
}

/// Calls a service for which there is no client here. `target` is the operation of a service that takes JSON.
pub fn call(service: &str, target: &str, body: &str) -> String {
    let signed =
        format!("AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request");
    let post = ureq::post(output("AWS_ENDPOINT_URL")).header("authorization", signed);
    let post = match target {
        "" => post.header("content-type", "application/x-www-form-urlencoded"),
        target => {
            post.header("content-type", "application/x-amz-json-1.1").header("x-amz-target", target)
        }
    };
    post.send(body).unwrap().body_mut().read_to_string().unwrap()
}
