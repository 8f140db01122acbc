//! One bulk job and its visible state.

use std::sync::Mutex;
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

use super::order::Order;
use crate::scripted_model::reply::Refusal;

pub struct Job {
    pub region: String,
    pub arn: String,
    pub order: Order,
    submitted_at: DateTime,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
pub struct State {
    pub status: &'static str,
    /// All statuses so far, in order.
    pub statuses: Vec<&'static str>,
    pub message: Option<String>,
    pub counts: Counts,
    ended_at: Option<DateTime>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub total: usize,
    pub processed: usize,
    pub succeeded: usize,
    pub failed: usize,
}

const OVER: [&str; 5] = ["Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"];

impl Job {
    pub fn new(region: &str, n: usize, order: Order) -> Self {
        let arn = format!("arn:aws:bedrock:{region}:000000000000:model-invocation-job/job{n:09}");
        let state = State {
            status: "Submitted",
            statuses: vec!["Submitted"],
            message: None,
            counts: Counts::default(),
            ended_at: None,
        };
        let (region, submitted_at) = (region.to_owned(), SystemTime::now().into());
        Self { region, arn, order, submitted_at, state: Mutex::new(state) }
    }

    /// Returns the last part of the ARN.
    pub fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }

    /// Enters `status`. Returns `false`, and does not enter it, if the job is stopping.
    pub fn enter(&self, status: &'static str) -> bool {
        self.change(|state| {
            let goes_on = state.status != "Stopping";
            if goes_on {
                state.set(status);
            }
            goes_on
        })
    }

    pub fn is_stopping(&self) -> bool {
        self.change(|state| state.status == "Stopping")
    }

    pub fn count(&self, counts: Counts) {
        self.change(|state| state.counts = counts);
    }

    pub fn end(&self, status: &'static str, message: Option<String>) {
        self.change(|state| {
            state.set(status);
            state.message = message;
            state.ended_at = Some(SystemTime::now().into());
        });
    }

    /// Asks the job to stop.
    ///
    /// # Errors
    /// A `ConflictException` if the job has ended.
    pub fn stop(&self) -> Result<(), Refusal> {
        self.change(|state| {
            if OVER.contains(&state.status) {
                return Err(Refusal {
                    status: 409,
                    code: "ConflictException",
                    message: format!("The job is {}.", state.status),
                    retry_after_s: None,
                });
            }
            state.set("Stopping");
            Ok(())
        })
    }

    /// Returns all statuses so far, in order.
    pub fn statuses(&self) -> Vec<&'static str> {
        self.change(|state| state.statuses.clone())
    }

    pub fn to_json(&self) -> Value {
        let state = self.change(|state| state.clone());
        let mut json = self.order.to_json();
        json["jobArn"] = json!(self.arn);
        json["status"] = json!(state.status);
        json["submitTime"] = json!(written(&self.submitted_at));
        if let Some(message) = state.message {
            json["message"] = json!(message);
        }
        if let Some(ended_at) = state.ended_at {
            json["endTime"] = json!(written(&ended_at));
        }
        if state.counts.total > 0 {
            json["totalRecordCount"] = json!(state.counts.total);
            json["processedRecordCount"] = json!(state.counts.processed);
            json["successRecordCount"] = json!(state.counts.succeeded);
            json["errorRecordCount"] = json!(state.counts.failed);
        }
        json
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().expect("no thread panics while it holds the state"))
    }
}

impl State {
    fn set(&mut self, status: &'static str) {
        self.status = status;
        self.statuses.push(status);
    }
}

fn written(at: &DateTime) -> String {
    at.fmt(Format::DateTimeWithOffset).expect("the times of this century are in range")
}
