use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::base::digest::sha256_hex;
use crate::base::error::Problems;
use crate::base::limits::MAX_ID_BYTES;
use crate::config::webhook::{Provider, Source};
use crate::document::{self, expression};
use crate::webhook::Call;

/// What a signed call says.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `issues`, `app_mention`, `invoice.paid`; empty where the provider has no such name.
    pub name: String,
    pub payload: Value,
    /// Of this event and no other, out of what is signed: neither a redelivery nor a captured body under
    /// another delivery id is a second event.
    pub id: String,
    /// It came as a form: a command or an interaction of Slack, whose answer a person sees.
    pub is_form: bool,
}

impl Event {
    /// `name` is the source's.
    ///
    /// # Errors
    /// What is wrong with the body, by field. The causes quote nothing of it.
    pub fn read(source: &Source, name: &str, call: &Call<'_>) -> Result<Self, Problems> {
        let is_form = is_form(call);
        let payload = payload(call, is_form)?;
        let text = |field: &str| payload.get(field).and_then(Value::as_str);
        let event = match source.provider {
            // Not signed: a rule should look into the body as well.
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
        // Events without one would all be the same.
        if id.trim().is_empty() {
            let field = if source.event_id.is_some() { "event_id" } else { "body.id" };
            return Err(Problems::one(field, "is missing or empty"));
        }
        Ok(Self { name: event, id: request_id(name, &id), payload, is_form })
    }

    /// GitHub's first call of a new webhook, which expects nothing.
    pub fn is_ping(&self, provider: Provider) -> bool {
        provider == Provider::Github && self.name == "ping"
    }

    /// What Slack wants to have said back when an URL is set up.
    pub fn challenge(&self, provider: Provider) -> Option<&str> {
        let asks = provider == Provider::Slack && self.name == "url_verification";
        self.payload.get("challenge").and_then(Value::as_str).filter(|_| asks)
    }
}

/// `<source>:<id>`, so that two sources cannot take each other's ids.
fn request_id(source: &str, id: &str) -> String {
    match format!("{source}:{id}") {
        whole if whole.len() <= MAX_ID_BYTES => whole,
        _ => format!("{source}:{}", sha256_hex(id.as_bytes())),
    }
}

/// What is signed decides, and not the content type, which is not: text within a JSON body must not become the
/// fields of a form.
fn is_form(call: &Call<'_>) -> bool {
    let media = call.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let first = call.body.iter().find(|byte| !byte.is_ascii_whitespace());
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && !matches!(first, Some(b'{' | b'['))
}

/// JSON, or the fields of a form; GitHub and Slack can put their JSON into the form's field `payload`.
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
            return Err(Problems::one("body", "has a field twice"));
        }
    }
    match fields.get("payload") {
        Some(inner) => document::json("body.payload", inner),
        None => Ok(Value::Object(
            fields.into_iter().map(|(name, value)| (name, value.into())).collect::<Map<_, _>>(),
        )),
    }
}
