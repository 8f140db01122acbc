//! Verifies a provider's signed HTTP call, maps its event to requests and sends them to the inbox.
//!
//! The webhook's Function URL invokes [`handle`], which returns an HTTP response for every call. The function must
//! never start work for a call that is unsigned or too old. A replayed call yields the same request ids, so it starts
//! no second run.

mod answer; // the status and body of a response
mod sources; // the documents and secrets of the sources, with a short cache
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

/// The settings of the function, from its environment variables.
pub struct Config {
    /// The name of the environment, such as `dev` (`BCCE_ENVIRONMENT`).
    pub environment: String,
    /// The name of the artifact bucket (`BCCE_ARTIFACT_BUCKET`).
    pub bucket: String,
    /// The URL of the default tenant's inbox (`BCCE_INBOX_QUEUE_URL`). The inbox of another tenant is
    /// `<this URL>-<tenant>`.
    pub inbox_queue_url: String,
}

impl Config {
    /// Reads the settings from the environment.
    ///
    /// # Errors
    /// A [`StartError`] that names the variable that is missing.
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self {
            environment: variable("BCCE_ENVIRONMENT")?,
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            inbox_queue_url: variable("BCCE_INBOX_QUEUE_URL")?,
        })
    }
}

/// The services that [`handle`] uses, and the sources that it keeps between invocations.
pub struct Ports<S, P, I, C> {
    pub store: S,
    pub parameters: P,
    pub inbox: I,
    pub clock: C,
    pub sources: Sources,
}

/// An HTTP call, as a Function URL passes it on (payload format 2.0). Only the fields that the function needs are read,
/// so that no other field of a call can make the function fail.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The path, such as `/hooks/github`.
    pub raw_path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub request_context: RequestContext,
    #[serde(default)]
    pub body: Option<String>,
    /// True if `body` is encoded as base64.
    #[serde(default)]
    pub is_base64_encoded: bool,
}

/// The part of the event that describes the call.
#[derive(Debug, Deserialize)]
pub struct RequestContext {
    pub http: Http,
}

/// The HTTP properties of the call.
#[derive(Debug, Deserialize)]
pub struct Http {
    pub method: String,
}

/// Answers a provider's call, and sends its requests to the inbox.
///
/// # Errors
/// None. Every failure is an HTTP response, so that a caller never gets an error response of Lambda.
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
    /// Answers a call. The `Err` is the answer of the first check that fails.
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
        // Slack shows a response body to the person who sent the command.
        let is_seen = event.is_form && provider == Provider::Slack;
        Ok(if is_seen { Answer::Acknowledged(started) } else { Answer::Accepted(started) })
    }

    /// Sends all requests. If one of them cannot be sent, returns an answer that makes the provider repeat the call.
    /// The requests that were sent before then keep their ids, so they start no second run.
    async fn enqueue(&self, source: &Source, mapped: &[Mapped]) -> Result<(), Answer> {
        let tenant = source.tenant.as_deref();
        let sent = mapped.iter().map(|one| self.inbox.send(tenant, &one.body));
        for sent in join_all(sent).await {
            match sent {
                Ok(Sent::Accepted) => {}
                Ok(Sent::Throttled) => return Err(Answer::Throttled),
                Ok(Sent::NoInbox) => {
                    let cause = "has no inbox; deploy infra/tenant.yaml for this tenant";
                    return Err(Answer::Misconfigured(Problems::one("tenant", cause)));
                }
                Err(fault) => return Err(Answer::Unavailable(fault)),
            }
        }
        Ok(())
    }
}

/// Verifies a call, and returns its source. The form of the signature is checked before any secret is read, so that an
/// unsigned call reads no secret. A new secret takes effect when the cache of [`Sources`] reads it.
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
    // The size is checked before decoding. Base64 is a third longer than the bytes that it encodes.
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

/// Returns the headers with names in lower case. A Function URL sends lower-case names; other callers may not.
fn lower_case(headers: BTreeMap<String, String>) -> BTreeMap<String, String> {
    headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()
}
