//! Checks that every run has a notification, always with the same manifest, and that every invalid message is a dead
//! letter with its reason.

use aws_sdk_sqs::types::Message;
use bcce_core::base::digest::sha256_hex;
use serde_json::Value;

use super::holds;
use crate::found::Found;
use crate::requests::{Outcome, Sent};

/// Checks that a run has a notification, and that each of its notifications has the digest and status of the manifest.
pub fn of_run(sent: &Sent, found: &Found) -> Result<(), String> {
    let manifest = &found.objects[&sent.run.manifest_key()];
    let (sha256, status) = (sha256_hex(manifest), found.document(&sent.run.manifest_key()));
    let status = status.map(|manifest| manifest["status"].clone());
    let notifications: Vec<&Value> = found
        .notifications
        .iter()
        .filter(|notification| notification["run_id"] == *sent.run.run_id)
        .collect();
    holds(!notifications.is_empty(), || "no notification".to_owned())?;
    let same = |notification: &&Value| {
        notification["manifest_sha256"] == *sha256
            && Some(&notification["status"]) == status.as_ref()
    };
    holds(notifications.iter().all(same), || {
        format!("notifications differ from the manifest: {notifications:?}")
    })
}

/// Checks that each message is among the dead letters as often as it was sent, with its reason.
pub fn is_set_aside(sent: &Sent, found: &Found) -> Result<(), String> {
    let Outcome::Rejected(reason) = sent.outcome else { return Ok(()) };
    let letters: Vec<&Message> =
        found.letters.iter().filter(|letter| letter.body() == Some(&sent.body)).collect();
    let wrong = |what: String| format!("{} {what}", sent.body);
    holds(letters.len() >= sent.times, || {
        wrong(format!("is {} of {} times among the dead letters", letters.len(), sent.times))
    })?;
    let attribute = |letter: &Message, name: &str| {
        let attributes = letter.message_attributes()?;
        attributes.get(name)?.string_value().map(str::to_owned)
    };
    for letter in letters {
        let text = attribute(letter, "reason").unwrap_or_default();
        holds(text.starts_with(reason), || {
            wrong(format!("is a dead letter with the reason {text}"))
        })?;
        let name = attribute(letter, "error").unwrap_or_default();
        holds(name == "Bcce.InvalidRequest", || {
            wrong(format!("is a dead letter with the error {name}"))
        })?;
    }
    Ok(())
}

/// Checks that no valid message is a dead letter, and no invalid one more often than it was rejected. A message is
/// rejected again if the function was killed before it reported its success.
pub fn nothing_else(rejected: &[&Sent], found: &Found) -> Result<(), String> {
    let known = |letter: &&Message| rejected.iter().any(|sent| letter.body() == Some(&sent.body));
    let strange: Vec<_> =
        found.letters.iter().filter(|letter| !known(letter)).map(Message::body).collect();
    holds(strange.is_empty(), || format!("valid messages among the dead letters: {strange:?}"))?;
    let messages: usize = rejected.iter().map(|sent| sent.times).sum();
    let (letters, rejections) = (found.letters.len(), found.rejections);
    eprintln!("dead letters: {letters} of {messages} messages, rejected {rejections} times");
    holds(letters <= rejections + LOST_ANSWERS, || {
        format!("{letters} dead letters, but only {rejections} rejections")
    })?;
    let refused = found
        .notifications
        .iter()
        .filter(|notification| notification["status"] == "REJECTED")
        .count();
    holds(refused >= messages, || format!("{refused} of {messages} rejections have a notification"))
}

/// The number of lost answers of `sqs:SendMessage` in the fault rules. Each one may leave a dead letter twice.
const LOST_ANSWERS: usize = 2;
