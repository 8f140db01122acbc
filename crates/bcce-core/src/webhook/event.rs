use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::base::digest::sha256_hex;
use crate::base::error::Problems;
use crate::base::limits::MAX_ID_BYTES;
use crate::config::webhook::{Provider, Source};
use crate::document::{self, expression};
use crate::webhook::Call;

/// The event of a signed call.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The name of the event, such as `issues`, `app_mention` or `invoice.paid`. Empty if the provider has no such
    /// name.
    pub name: String,
    pub payload: Value,
    /// The id of the event, which becomes the id of its requests. It is derived from signed data only, so a redelivery,
    /// or a captured body under another delivery id, has the same id.
    pub id: String,
    /// True if the event was sent as a form: a command or an interaction of Slack, whose answer a person sees.
    pub is_form: bool,
}

impl Event {
    /// Reads the event of a call. `name` is the name of the source.
    ///
    /// # Errors
    /// Returns the problems of the body, by field. The causes never quote the body.
    pub fn read(source: &Source, name: &str, call: &Call<'_>) -> Result<Self, Problems> {
        let is_form = is_form(call);
        let payload = payload(call, is_form)?;
        let text = |field: &str| payload.get(field).and_then(Value::as_str);
        let event = match source.provider {
            // This header is not signed, so a rule should check the body as well.
            Provider::Github => call.header("x-github-event"),
            Provider::Slack => payload
                .pointer("/event/type")
                .and_then(Value::as_str)
                .or_else(|| text("type"))
                .or_else(|| text("command")),
            _ => text("type"),
        };
        let event = event.unwrap_or_default().to_owned();
        let digest = || sha256_hex(call.body);
        let id = match source.provider {
            Provider::Github => digest(),
            Provider::Slack => text("event_id").map_or_else(digest, str::to_owned),
            Provider::Stripe => text("id").unwrap_or_default().to_owned(),
            Provider::StandardWebhooks => call.header("webhook-id").unwrap_or_default().to_owned(),
            Provider::Hmac => match &source.event_id {
                Some(template) => expression::Context::of_event(&event, &payload)
                    .text(template)
                    .map_err(|cause| Problems::one("event_id", cause))?,
                None => digest(),
            },
        };
        // All events without an id would have the same id.
        if id.trim().is_empty() {
            let field = if source.event_id.is_some() { "event_id" } else { "body.id" };
            return Err(Problems::one(field, "is missing or empty"));
        }
        Ok(Self { name: event, id: request_id(name, &id), payload, is_form })
    }

    /// Returns whether the event is GitHub's first call of a new webhook, which needs no action.
    pub fn is_ping(&self, provider: Provider) -> bool {
        provider == Provider::Github && self.name == "ping"
    }

    /// Returns the text that Slack expects back when a URL is set up.
    pub fn challenge(&self, provider: Provider) -> Option<&str> {
        let asks = provider == Provider::Slack && self.name == "url_verification";
        self.payload.get("challenge").and_then(Value::as_str).filter(|_| asks)
    }
}

/// Returns `<source>:<id>`, so that two sources never have the same id. An id that is too long is replaced by its
/// digest.
fn request_id(source: &str, id: &str) -> String {
    match format!("{source}:{id}") {
        whole if whole.len() <= MAX_ID_BYTES => whole,
        _ => format!("{source}:{}", sha256_hex(id.as_bytes())),
    }
}

/// Returns whether the body is a form. The content type is not signed and cannot decide alone: text within a JSON body
/// must not become the fields of a form.
fn is_form(call: &Call<'_>) -> bool {
    let media = call.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let first = call.body.iter().find(|byte| !byte.is_ascii_whitespace());
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !matches!(first, Some(b'{' | b'['))
}

/// Returns the body as JSON, or the fields of a form. GitHub and Slack can send their JSON in the form's field
/// `payload`.
fn payload(call: &Call<'_>, is_form: bool) -> Result<Value, Problems> {
    let body = std::str::from_utf8(call.body);
    let body = body.map_err(|error| {
        let cause = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        Problems::one("body", cause)
    })?;
    if !is_form {
        return document::json("body", body);
    }
    let mut fields = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body.as_bytes()) {
        if fields.insert(name.to_string(), value.to_string()).is_some() {
            return Err(Problems::one("body", "contains a form field twice; send each once"));
        }
    }
    match fields.get("payload") {
        Some(inner) => document::json("body.payload", inner),
        None => Ok(Value::Object(
            fields.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>(),
        )),
    }
}
