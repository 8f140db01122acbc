use std::collections::BTreeMap;

use bcce_core::base::error::{Fault, Problem, Problems};
use bcce_core::run::ids::run_id;
use bcce_core::webhook::{Mapped, Refusal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::sources::Missing;

/// Whom a provider asks to come again, and when, in seconds.
const RETRY_AFTER: &str = "5";
/// The most problems of an event that an answer lists.
const MOST_PROBLEMS: usize = 20;

/// The answer to a call. It holds no secret, and says no more of this side than a caller can act on.
#[derive(Debug)]
pub enum Answer {
    Accepted(Vec<Started>),
    /// The same, without a word.
    Acknowledged(Vec<Started>),
    Pong,
    Challenge(String),
    /// No such path, or no such source.
    Unknown,
    NotPosted,
    /// Said to be base64, and is none.
    Unreadable,
    TooLarge,
    Refused(Refusal),
    /// The body is no event, or a rule cannot make a request of it.
    Unmapped(Problems),
    /// No signature can be verified: the source's document or secrets are missing or wrong. Strangers get this
    /// answer too, so it is no fault of the service and rings no alarm; [`crate::Sources`] logs the cause.
    Incomplete,
    /// The source's tenant. Only a verified call comes so far.
    Misconfigured(Problems),
    Throttled,
    /// The configuration cannot be read, or the inbox not be reached.
    Unavailable(Fault),
}

/// What was put on an inbox.
#[derive(Debug, Serialize)]
pub struct Started {
    workflow: String,
    id: String,
    run_id: String,
}

/// As a Function URL takes it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status_code: u16,
    pub headers: BTreeMap<&'static str, &'static str>,
    pub body: String,
}

impl Started {
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
            Self::NotPosted => "a webhook is called with POST",
            Self::Unreadable => "the body is not the base64 that it is said to be",
            Self::TooLarge => "the body is above 1 MiB",
            Self::Refused(Refusal::Unsigned(cause)) => cause,
            Self::Refused(Refusal::Forged) => "the signature is not one of this body",
            Self::Refused(Refusal::OutsideWindow) => {
                "it was signed more than five minutes ago, or ahead: a replay, or a wrong clock"
            }
            Self::Unmapped(_) => "no request can be made of it",
            Self::Incomplete => {
                "this webhook cannot verify signatures yet; its operator must complete its setup"
            }
            Self::Misconfigured(_) => "this webhook is not set up rightly",
            Self::Throttled => "too many calls just now",
            Self::Unavailable(_) => "it cannot be taken just now",
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

    /// Logs the answer once. A call that is not let in is somebody else's fault and no warning.
    pub fn log(&self, path: &str) {
        let (status, message) = (self.status(), self.message());
        match self {
            Self::Accepted(started) | Self::Acknowledged(started) if started.is_empty() => {
                tracing::info!(path, status, "no rule wants the event");
            }
            Self::Accepted(started) | Self::Acknowledged(started) => {
                for Started { run_id, id, .. } in started {
                    tracing::info!(path, status, run_id, request_id = id, "a run is asked for");
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
