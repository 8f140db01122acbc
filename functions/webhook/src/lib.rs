//! A provider's signed call becomes requests on the inbox: verify, map, enqueue, nothing else.

mod answer; // status and body of what is said back
mod sources; // who may call, with a short cache
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcce_aws::{StartError, variable};
use bcce_core::base::error::{Fault, Problems};
use bcce_core::base::limits::MAX_WEBHOOK_BYTES;
use bcce_core::base::names::check_name;
use bcce_core::config::webhook::{Provider, Source};
use bcce_core::ports::{Clock, GetObject, GetParameters, ListParameters, SendRequest, Sent};
use bcce_core::webhook::{Call, Event, Mapped, check_form, requests, verify};
use futures::future::join_all;
use serde::Deserialize;

pub use answer::Response;
use answer::{Answer, Started};
use sources::Lookup;
pub use sources::Sources;

pub struct Config {
    pub environment: String,
    pub bucket: String,
    /// The default tenant's; `<that>-<tenant>` is another tenant's.
    pub inbox_queue_url: String,
}

impl Config {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            inbox_queue_url: variable("BCCE_INBOX_QUEUE_URL")?,
        })
    }
}

pub struct Ports<S, P, I, C> {
    pub store: S,
    pub parameters: P,
    pub inbox: I,
    pub clock: C,
    pub sources: Sources,
}

/// An HTTP call as a Function URL passes it on (payload format 2.0). What is not needed is not read, so that
/// nothing a caller puts there can fail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub raw_path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub request_context: RequestContext,
    #[serde(default)]
    pub body: Option<String>,
    #[serde(default)]
    pub is_base64_encoded: bool,
}

#[derive(Debug, Deserialize)]
pub struct RequestContext {
    pub http: Http,
}

#[derive(Debug, Deserialize)]
pub struct Http {
    pub method: String,
}

/// # Errors
/// None: whatever happens is an HTTP answer, so that a caller never sees one of Lambda's own.
pub async fn handle<S, P, I, C>(
    ports: &Ports<S, P, I, C>,
    config: &Config,
    request: Request,
) -> Result<Response, Fault>
where
    S: GetObject,
    P: GetParameters + ListParameters,
    I: SendRequest,
    C: Clock,
{
    let path = request.raw_path.clone();
    let answer = ports.answer(config, request).await;
    let answer = answer.unwrap_or_else(|answer| answer);
    answer.log(&path);
    Ok(answer.into())
}

impl<S, P, I, C> Ports<S, P, I, C>
where
    S: GetObject,
    P: GetParameters + ListParameters,
    I: SendRequest,
    C: Clock,
{
    /// Answers a call. `Err` is an answer too: the first check that fails.
    async fn answer(&self, config: &Config, request: Request) -> Result<Answer, Answer> {
        let name = source_name(&request)?.to_owned();
        let body = body(&request)?;
        let headers = lower_case(request.headers);
        let call = Call { headers: &headers, body: &body };
        let lookup = Lookup {
            store: &self.store,
            parameters: &self.parameters,
            bucket: &config.bucket,
            environment: &config.environment,
            now: self.clock.now(),
        };
        let source = &*verified(&self.sources, &lookup, &name, &call).await?;
        let provider = source.provider;
        let event = Event::read(source, &name, &call).map_err(Answer::Unmapped)?;
        if event.is_ping(provider) {
            return Ok(Answer::Pong);
        }
        if let Some(challenge) = event.challenge(provider) {
            return Ok(Answer::Challenge(challenge.to_owned()));
        }
        let mapped = requests(source, &event).map_err(Answer::Unmapped)?;
        self.enqueue(source, &mapped).await?;
        let started = Started::all(source.tenant.as_deref(), &mapped);
        // A person would see anything else, as Slack's answer to a command.
        let is_seen = event.is_form && provider == Provider::Slack;
        Ok(if is_seen { Answer::Acknowledged(started) } else { Answer::Accepted(started) })
    }

    /// Sends all requests, or returns an answer that has the provider call again: what was sent already is the same
    /// request then.
    async fn enqueue(&self, source: &Source, mapped: &[Mapped]) -> Result<(), Answer> {
        let tenant = source.tenant.as_deref();
        let sent = mapped.iter().map(|one| self.inbox.send(tenant, &one.body));
        for sent in join_all(sent).await {
            match sent {
                Ok(Sent::Accepted) => {}
                Ok(Sent::Throttled) => return Err(Answer::Throttled),
                Ok(Sent::NoInbox) => {
                    let cause = "has no inbox: there must be its stack of infra/tenant.yaml";
                    return Err(Answer::Misconfigured(Problems::one("tenant", cause)));
                }
                Err(fault) => return Err(Answer::Unavailable(fault)),
            }
        }
        Ok(())
    }
}

/// Returns the source once the call is verified. The form of the signature is checked before any secret is read, so
/// that a call without one costs nothing. A secret that was put there a moment ago counts with the next reading.
async fn verified(
    sources: &Sources,
    lookup: &Lookup<'_, impl GetObject, impl GetParameters + ListParameters>,
    name: &str,
    call: &Call<'_>,
) -> Result<Rc<Source>, Answer> {
    let source = sources.source(lookup, name).await?;
    check_form(&source, call)?;
    let secrets = sources.secrets(lookup, name, &source).await?;
    verify(&source, &secrets, call, lookup.now)?;
    Ok(source)
}

/// Returns the source that the path `/hooks/<source>` names.
fn source_name(request: &Request) -> Result<&str, Answer> {
    let name = request.raw_path.strip_prefix("/hooks/").ok_or(Answer::Unknown)?;
    let mut problems = Problems::default();
    check_name(&mut problems, "source", name);
    match request.request_context.http.method.as_str() {
        _ if !problems.is_empty() => Err(Answer::Unknown),
        "POST" => Ok(name),
        _ => Err(Answer::NotPosted),
    }
}

fn body(request: &Request) -> Result<Vec<u8>, Answer> {
    let text = request.body.as_deref().unwrap_or_default();
    // Before it is decoded: base64 is a third longer.
    if text.len() / 4 * 3 > MAX_WEBHOOK_BYTES + 4 && request.is_base64_encoded {
        return Err(Answer::TooLarge);
    }
    let bytes = if request.is_base64_encoded {
        STANDARD.decode(text).map_err(|_| Answer::Unreadable)?
    } else {
        text.as_bytes().to_vec()
    };
    if bytes.len() > MAX_WEBHOOK_BYTES { Err(Answer::TooLarge) } else { Ok(bytes) }
}

/// Returns the headers with names in lower case, as a Function URL sends them. Others may not.
fn lower_case(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}
