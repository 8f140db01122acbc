use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Call, Provider, Source, expression};
use crate::digest::sha256_hex;
use crate::document;
use crate::error::Problems;
use crate::limits::MAX_ID_BYTES;

/// What a signed call says.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `issues`, `app_mention`, `invoice.paid`; empty where the provider has no such name.
    pub name: String,
    pub payload: Value,
    /// Of this event and no other, out of what is signed: neither a redelivery nor a captured body under
    /// another delivery id is a second event.
    pub id: String,
}

impl Event {
    /// `name` is the source's.
    ///
    /// # Errors
    /// What is wrong with the body, by field. The causes quote nothing of it.
    pub fn read(source: &Source, name: &str, call: &Call<'_>) -> Result<Self, Problems> {
        let payload = payload(call)?;
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
            Provider::Stripe => text("id")
                .filter(|id| !id.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| Problems::one("body.id", "is missing"))?,
            Provider::StandardWebhooks => call.header("webhook-id").unwrap_or_default().to_owned(),
            Provider::Hmac => match &source.event_id {
                Some(template) => expression::Context::new(&event, &payload)
                    .text(template)
                    .map_err(|cause| Problems::one("event_id", cause))?,
                None => digest(),
            },
        };
        Ok(Self { name: event, id: request_id(name, &id), payload })
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

/// JSON, or the fields of a form; GitHub and Slack can put their JSON into the form's field `payload`.
fn payload(call: &Call<'_>) -> Result<Value, Problems> {
    let media = call.header("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = std::str::from_utf8(call.body);
    let body = body.map_err(|error| {
        let cause = format!("is not UTF-8 from byte {} on", error.valid_up_to());
        Problems::one("body", cause)
    })?;
    if media != "application/x-www-form-urlencoded" {
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
