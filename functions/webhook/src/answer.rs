use std::collections::BTreeMap;

use bcce_core::error::{Fault, Problems};
use bcce_core::run::run_id;
use bcce_core::webhook::{Mapped, Refusal};
use serde::Serialize;
use serde_json::{Value, json};

/// Whom a provider asks to come again, and when, in seconds.
const RETRY_AFTER: &str = "5";

/// What is said back. Nothing of it holds a secret, or tells more of this side than a caller can act on.
#[derive(Debug)]
pub enum Answer {
    /// What was put on the inbox, and its source.
    Accepted {
        source: String,
        requests: Vec<Value>,
    },
    Pong,
    Challenge(String),
    /// No such path, or no such source.
    Unknown,
    NotPosted,
    /// Said to be base64, and is none.
    Unreadable,
    TooLarge,
    Unsigned {
        source: String,
        cause: String,
    },
    OutsideWindow {
        source: String,
    },
    /// The body is no event, or a rule cannot make a request of it.
    Unmapped(Problems),
    /// The source's own document or secrets.
    Misconfigured {
        source: String,
        problems: Problems,
    },
    Throttled,
    Unavailable(Fault),
}

/// As a Function URL takes it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    pub status_code: u16,
    pub headers: BTreeMap<&'static str, &'static str>,
    pub body: String,
}

impl Answer {
    pub fn accepted(source: &str, tenant: Option<&str>, mapped: &[Mapped]) -> Self {
        let request = |Mapped { request, .. }: &Mapped| {
            let id = request.id.as_deref().unwrap_or_default();
            let run_id = run_id(tenant.unwrap_or("default"), &request.workflow, id);
            json!({ "workflow": request.workflow, "id": id, "run_id": run_id })
        };
        Self::Accepted { source: source.to_owned(), requests: mapped.iter().map(request).collect() }
    }

    pub fn refused(source: &str, refusal: Refusal) -> Self {
        let source = source.to_owned();
        match refusal {
            Refusal::Unsigned(cause) => Self::Unsigned { source, cause },
            Refusal::OutsideWindow => Self::OutsideWindow { source },
        }
    }

    fn status(&self) -> u16 {
        match self {
            Self::Pong | Self::Challenge(_) => 200,
            Self::Accepted { .. } => 202,
            Self::Unreadable => 400,
            Self::Unsigned { .. } => 401,
            Self::Unknown => 404,
            Self::NotPosted => 405,
            Self::OutsideWindow { .. } => 409,
            Self::TooLarge => 413,
            Self::Unmapped(_) => 422,
            Self::Throttled => 429,
            Self::Misconfigured { .. } => 500,
            Self::Unavailable(_) => 503,
        }
    }

    fn body(&self) -> Value {
        let told = |message: &str| json!({ "message": message });
        match self {
            Self::Accepted { requests, .. } => json!({ "requests": requests }),
            Self::Pong => told("pong"),
            Self::Challenge(challenge) => json!({ "challenge": challenge }),
            Self::Unknown => told("there is no such webhook"),
            Self::NotPosted => told("a webhook is called with POST"),
            Self::Unreadable => told("the body is not the base64 that it is said to be"),
            Self::TooLarge => told("the body is above 1 MiB"),
            Self::Unsigned { cause, .. } => told(cause),
            Self::OutsideWindow { .. } => told(
                "it was signed more than five minutes ago, or ahead: a replay, or a wrong clock",
            ),
            Self::Unmapped(problems) => {
                let problem = |problem: &bcce_core::error::Problem| json!({ "field": problem.field, "cause": problem.cause });
                let problems: Vec<Value> = problems.iter().map(problem).collect();
                json!({ "message": "no request can be made of it", "problems": problems })
            }
            Self::Misconfigured { .. } => told("this webhook is not set up rightly"),
            Self::Throttled => told("too many calls just now"),
            Self::Unavailable(_) => told("it cannot be taken just now"),
        }
    }

    /// Once, where it is handled. A refused call is somebody else's fault and no warning.
    pub fn log(&self) {
        match self {
            Self::Accepted { source, requests } => {
                tracing::info!(source, "the call starts {} runs", requests.len());
            }
            Self::Unsigned { source, cause } => {
                tracing::info!(source, "the call is not let in: {cause}");
            }
            Self::OutsideWindow { source } => {
                tracing::info!(source, "the call is not let in: outside of the window");
            }
            Self::Unmapped(problems) => tracing::warn!("no request can be made of it: {problems}"),
            Self::Misconfigured { source, problems } => {
                tracing::error!(source, "the webhook is not set up rightly: {problems}");
            }
            Self::Throttled => tracing::warn!("the inbox is throttled"),
            Self::Unavailable(fault) => tracing::error!("the inbox fails: {}", fault.message),
            Self::Pong | Self::Challenge(_) => {}
            Self::Unknown | Self::NotPosted | Self::Unreadable | Self::TooLarge => {}
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
        Self { status_code: answer.status(), headers, body: answer.body().to_string() }
    }
}
