//! Turns the outcome of a call into the HTTP response.

use std::collections::BTreeMap;

use bcce_core::base::error::{Fault, Problem, Problems};
use bcce_core::run::ids::run_id;
use bcce_core::webhook::{Mapped, Refusal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::sources::Missing;

/// The value of the `retry-after` header, in seconds.
const RETRY_AFTER: &str = "5";
/// The most problems of an event that an answer lists.
const MOST_PROBLEMS: usize = 20;

/// The answer to a call. It contains no secret, and no more about the stack than a caller can act on.
#[derive(Debug)]
pub enum Answer {
    /// The requests are on the inbox.
    Accepted(Vec<Started>),
    /// The requests are on the inbox; the response has no body.
    Acknowledged(Vec<Started>),
    /// The answer to a provider's ping event.
    Pong,
    /// The answer to a provider that verifies the URL: its challenge.
    Challenge(String),
    /// The path or the source does not exist.
    Unknown,
    /// The method is not POST.
    NotPosted,
    /// The body is marked as base64 and is not valid base64.
    Unreadable,
    TooLarge,
    Refused(Refusal),
    /// The body is not an event, or a rule cannot make a request from it.
    Unmapped(Problems),
    /// No signature can be verified, because the source's document or secrets are missing or invalid. Anybody can cause
    /// this answer, so it is not a server error and fires no alarm. [`crate::Sources`] logs the cause.
    Incomplete,
    /// The source's tenant has no inbox. Only a verified call can get this answer.
    Misconfigured(Problems),
    /// SQS throttles the inbox.
    Throttled,
    /// The configuration cannot be read, or the inbox cannot be reached.
    Unavailable(Fault),
}

/// A request that was put on an inbox.
#[derive(Debug, Serialize)]
pub struct Started {
    workflow: String,
    id: String,
    run_id: String,
}

/// An HTTP response, as a Function URL expects it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status_code: u16,
    pub headers: BTreeMap<&'static str, &'static str>,
    pub body: String,
}

impl Started {
    /// Describes the requests of a call, with the run ids that they will have.
    pub fn all(tenant: Option<&str>, mapped: &[Mapped]) -> Vec<Self> {
        let started = |one: &Mapped| Self {
            workflow: one.workflow.clone(),
            id: one.id.clone(),
            run_id: run_id(tenant.unwrap_or("default"), &one.workflow, &one.id),
        };
        mapped.iter().map(started).collect()
    }
}

impl Answer {
    fn status(&self) -> u16 {
        match self {
            Self::Pong | Self::Challenge(_) | Self::Acknowledged(_) => 200,
            Self::Accepted(_) => 202,
            Self::Unreadable => 400,
            Self::Incomplete | Self::Refused(Refusal::Unsigned(_) | Refusal::Forged) => 401,
            Self::Unknown => 404,
            Self::NotPosted => 405,
            Self::Refused(Refusal::OutsideWindow) => 409,
            Self::TooLarge => 413,
            Self::Unmapped(_) => 422,
            Self::Throttled => 429,
            Self::Misconfigured(_) => 500,
            Self::Unavailable(_) => 503,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Accepted(_) | Self::Acknowledged(_) | Self::Challenge(_) => "",
            Self::Pong => "pong",
            Self::Unknown => "there is no such webhook",
            Self::NotPosted => "a webhook must be called with POST",
            Self::Unreadable => "the body is marked as base64 but is not valid base64",
            Self::TooLarge => "the body is above 1 MiB",
            Self::Refused(Refusal::Unsigned(cause)) => cause,
            Self::Refused(Refusal::Forged) => "the signature does not match the body",
            Self::Refused(Refusal::OutsideWindow) => {
                "the signed time is more than five minutes from now: a replay, or a wrong clock"
            }
            Self::Unmapped(_) => "no request can be made from the event",
            Self::Incomplete => {
                "this webhook cannot verify signatures yet; its operator must complete its setup"
            }
            Self::Misconfigured(_) => "this webhook is not set up correctly",
            Self::Throttled => "too many calls; try again later",
            Self::Unavailable(_) => "the call cannot be accepted at the moment; try again later",
        }
    }

    fn body(&self) -> String {
        let body = match self {
            Self::Acknowledged(_) => return String::new(),
            Self::Accepted(started) => json!({ "requests": started }),
            Self::Challenge(challenge) => json!({ "challenge": challenge }),
            Self::Unmapped(problems) => {
                let listed = |one: &Problem| json!({ "field": one.field, "cause": one.cause });
                let listed: Vec<Value> = problems.iter().take(MOST_PROBLEMS).map(listed).collect();
                json!({ "message": self.message(), "problems": listed })
            }
            _ => json!({ "message": self.message() }),
        };
        body.to_string()
    }

    /// Logs the answer. A refused call is not logged as a warning, since the caller is at fault.
    pub fn log(&self, path: &str) {
        let (status, message) = (self.status(), self.message());
        match self {
            Self::Accepted(started) | Self::Acknowledged(started) if started.is_empty() => {
                tracing::info!(path, status, "no rule matches the event");
            }
            Self::Accepted(started) | Self::Acknowledged(started) => {
                for Started { run_id, id, .. } in started {
                    tracing::info!(path, status, run_id, request_id = id, "a run is requested");
                }
            }
            Self::Unmapped(problems) => {
                let problems = Fault::from(problems.clone()).message;
                tracing::warn!(path, status, "{message}: {problems}");
            }
            Self::Misconfigured(problems) => tracing::error!(path, status, "{message}: {problems}"),
            Self::Unavailable(fault) => {
                tracing::error!(path, status, "{message}: {}", fault.message);
            }
            Self::Throttled => tracing::warn!(path, status, "{message}"),
            Self::Refused(_) | Self::Incomplete => tracing::info!(path, status, "{message}"),
            Self::Pong | Self::Challenge(_) => {}
            Self::Unknown | Self::NotPosted | Self::Unreadable | Self::TooLarge => {}
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Missing> for Answer {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::Unknown,
            Missing::Incomplete => Self::Incomplete,
            Missing::Unreadable(fault) => Self::Unavailable(fault),
        }
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let mut headers = BTreeMap::from([("content-type", "application/json")]);
        match answer {
            Answer::Throttled | Answer::Unavailable(_) => {
                headers.insert("retry-after", RETRY_AFTER)
            }
            Answer::NotPosted => headers.insert("allow", "POST"),
            _ => None,
        };
        Self { status_code: answer.status(), headers, body: answer.body() }
    }
}
