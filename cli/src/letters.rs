//! Reads the dead-letter queue and selects dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use bcce_aws::sqs::letters::{DeadLetterQueue, DeadMessage};
use bcce_core::base::error::Fault;
use bcce_core::run::request::workflow_and_id;
use serde::Serialize;
use time::OffsetDateTime;

use crate::figures;
use crate::json::Field;
use crate::values::duration;

/// The largest number of dead letters that are read into memory.
const MOST: usize = 10_000;
/// The total size of the bodies, in bytes, after which no more dead letters are read.
const MOST_BYTES: usize = 256 << 20;

/// A dead letter with the reason why it is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Letter {
    pub message_id: String,
    #[serde(with = "time::serde::rfc3339::option")]
    pub sent_at: Option<OffsetDateTime>,
    /// The tenant whose inbox it came through, or `None` if that is unknown. A redrive sends it back there.
    pub tenant: Option<String>,
    pub workflow: Option<String>,
    pub request_id: String,
    /// The error name, such as `Bcce.InvalidRequest`.
    pub error: String,
    pub reason: String,
    pub body: String,
    /// The receipt handle of the latest delivery.
    #[serde(skip)]
    pub receipt: String,
}

/// The fields of a dead letter in JSON.
pub const LETTER: [Field; 8] = [
    ("message_id", "id of the message in the dead-letter queue"),
    ("sent_at", "time at which it was sent, or null"),
    ("tenant", "tenant of the inbox that it came through, or null if that is unknown"),
    ("workflow", "workflow that it names, or null"),
    ("request_id", "idempotency key of the request"),
    ("error", "name of the error, such as Bcce.InvalidRequest"),
    ("reason", "what was wrong"),
    ("body", "the message, as it was sent"),
];

/// The dead letters that were read from the queue.
pub struct Look {
    /// The dead letters, oldest first.
    pub letters: Vec<Letter>,
    /// The approximate number of dead letters that were not read, because there are too many or another reader holds
    /// them.
    pub unseen: u64,
}

/// The filters that select dead letters. All of them must match.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Select only dead letters of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Select only dead letters that name this workflow
    #[arg(long, value_name = "NAME")]
    pub workflow: Option<String>,
    /// Select only dead letters with this error name, such as Bcce.InvalidRequest
    #[arg(long, value_name = "NAME")]
    pub error: Option<String>,
    /// Select only dead letters sent longer ago than this time, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub older_than: Option<Duration>,
}

/// Reads the queue to its end or up to the limits. Every message that was read is hidden from other readers for two
/// minutes, or until [`show_again`].
pub async fn look(queue: &DeadLetterQueue, inbox_url: &str) -> Result<Look, Fault> {
    let mut seen: BTreeMap<String, DeadMessage> = BTreeMap::new();
    let mut bytes = 0;
    while seen.len() < MOST && bytes < MOST_BYTES {
        let received = queue.receive().await?;
        let before = seen.len();
        for message in received {
            // If a message is delivered twice, only the later receipt handle is valid.
            let size = message.body.len();
            if seen.insert(message.message_id.clone(), message).is_none() {
                bytes += size;
            }
        }
        // Nothing new was received, so the whole queue has been read.
        if seen.len() == before {
            break;
        }
    }
    let (visible, hidden) = queue.count().await?;
    let unseen = (visible + hidden).saturating_sub(seen.len() as u64);
    let mut letters: Vec<Letter> =
        seen.into_values().map(|message| letter(message, inbox_url)).collect();
    letters.sort_by(|a, b| (a.sent_at, &a.message_id).cmp(&(b.sent_at, &b.message_id)));
    Ok(Look { letters, unseen })
}

/// Makes dead letters visible to other readers again.
pub async fn show_again(queue: &DeadLetterQueue, letters: &[Letter]) -> Result<(), Fault> {
    let receipts: Vec<&str> = letters.iter().map(|letter| letter.receipt.as_str()).collect();
    queue.show_again(&receipts).await
}

/// Prints a note if some dead letters were not read.
pub fn note_unseen(unseen: u64) {
    if unseen > 0 {
        let count = usize::try_from(unseen).unwrap_or(usize::MAX);
        let letters = figures::plural(count, "more dead letter");
        crate::terminal::note(&format!("note: about {letters} could not be read now"));
    }
}

fn letter(message: DeadMessage, inbox_url: &str) -> Letter {
    let (workflow, id) = workflow_and_id(&message.body);
    // A message that SQS moved has the attributes that its sender set, so only the source queue identifies the tenant.
    let (tenant, error, reason) = match &message.moved_from {
        Some(queue) => (
            tenant_of(queue, inbox_url),
            "Bcce.Internal".to_owned(),
            "was received 100 times and could not be dispatched; the log of dispatch shows the cause"
                .to_owned(),
        ),
        None => {
            (message.tenant, message.error.unwrap_or_default(), message.reason.unwrap_or_default())
        }
    };
    Letter {
        request_id: id.or(message.request_id).unwrap_or_else(|| message.message_id.clone()),
        message_id: message.message_id,
        sent_at: message.sent_at,
        tenant,
        workflow,
        error,
        reason,
        body: message.body,
        receipt: message.receipt,
    }
}

/// Returns the tenant of an inbox as dispatch derives it, or `None` if the queue is not an inbox of this stack.
pub fn tenant_of(queue_arn: &str, inbox_url: &str) -> Option<String> {
    let name = queue_arn.rsplit(':').next()?;
    match name.strip_prefix(inbox_url.rsplit('/').next()?)? {
        "" => Some("default".to_owned()),
        rest => rest.strip_prefix('-').filter(|tenant| !tenant.is_empty()).map(str::to_owned),
    }
}

/// Returns the URL of a tenant's inbox.
pub fn inbox_of(tenant: &str, inbox_url: &str) -> String {
    match tenant {
        "default" => inbox_url.to_owned(),
        tenant => format!("{inbox_url}-{tenant}"),
    }
}

impl Filter {
    /// Returns true if all filters match the dead letter.
    pub fn wants(&self, letter: &Letter, now: OffsetDateTime) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        is(&self.tenant, letter.tenant.as_deref())
            && is(&self.workflow, letter.workflow.as_deref())
            && is(&self.error, Some(&letter.error))
            && self.older_than.is_none_or(|age| letter.sent_at.is_some_and(|at| now - at > age))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use time::macros::datetime;

    const INBOX: &str = "https://sqs.us-east-1.amazonaws.com/1/bcce-inbox";
    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    pub fn dead(body: &str) -> DeadMessage {
        DeadMessage {
            message_id: "m".into(),
            body: body.into(),
            sent_at: Some(NOW - Duration::from_secs(3_600)),
            error: Some("Bcce.InvalidRequest".into()),
            reason: Some("request: is not JSON".into()),
            request_id: Some("r".into()),
            tenant: Some("payments".into()),
            ..DeadMessage::default()
        }
    }

    pub fn given(body: &str) -> Letter {
        letter(dead(body), INBOX)
    }

    #[test]
    fn the_request_id_is_the_bodys_or_the_one_it_came_with_or_the_messages() {
        assert_eq!(given(r#"{"id":"a\u0000b"}"#).request_id, "a\u{0}b");
        assert_eq!(given("not json").request_id, "r");
        let moved = DeadMessage { request_id: None, ..dead("{}") };
        assert_eq!(letter(moved, INBOX).request_id, "m");
    }

    #[test]
    fn what_sqs_moved_belongs_to_its_queue_whatever_the_sender_wrote_on_it() {
        let of = |queue: &str| {
            let moved_from = Some(format!("arn:aws:sqs:us-east-1:1:{queue}"));
            let letter = letter(DeadMessage { moved_from, ..dead("{}") }, INBOX);
            assert_eq!(letter.error, "Bcce.Internal");
            letter.tenant
        };
        assert_eq!(of("bcce-inbox").as_deref(), Some("default"));
        assert_eq!(of("bcce-inbox-a").as_deref(), Some("a"));
        assert_eq!((of("bcce-inbox-"), of("bcce-inboxed"), of("other")), (None, None, None));
    }

    #[test]
    fn a_letter_goes_back_to_the_inbox_it_came_through() {
        assert_eq!(inbox_of("default", INBOX), INBOX);
        assert_eq!(inbox_of("payments", INBOX), format!("{INBOX}-payments"));
    }

    #[test]
    fn filters_must_all_fit() {
        let letter = given(r#"{"workflow":"explain"}"#);
        let wants = |set: &dyn Fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            filter.wants(&letter, NOW)
        };
        assert!(wants(&|_| ()));
        assert!(wants(&|f| f.tenant = Some("payments".into())));
        assert!(!wants(&|f| f.tenant = Some("default".into())));
        assert!(wants(&|f| f.workflow = Some("explain".into())));
        assert!(!wants(&|f| f.workflow = Some("x".into())));
        assert!(!wants(&|f| f.error = Some("Bcce.Internal".into())));
        assert!(wants(&|f| f.older_than = Some(Duration::from_secs(3_599))));
        assert!(!wants(&|f| f.older_than = Some(Duration::from_secs(3_601))));
    }
}
