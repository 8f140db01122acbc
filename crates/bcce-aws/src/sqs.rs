//! Sends requests to inboxes, delays and repeats messages, and writes dead letters.

pub mod letters; // an operator's view of the dead-letter queue

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::base::limits::cut;
use bcce_core::ports::{DeadLetter, Letter, Postpone, SendAgain, SendRequest, Sent};

use crate::fault::internal;
use crate::lazily::Lazily;

/// The length of the reason in a message attribute. Attributes count towards the message's limit of 1 MiB.
const MAX_REASON_CHARS: usize = 700;

/// The longest delay that SQS accepts for a message, in seconds.
const MAX_DELAY_S: i32 = 900;

/// The queues of the account, each addressed by its URL or ARN.
pub struct Queues {
    client: Lazily<Client>,
}

impl Queues {
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Lazily::new(config, Client::new) }
    }

    /// Sends a message. Returns its message id.
    ///
    /// # Errors
    /// `Bcce.Internal`: the message cannot be sent.
    pub async fn send(&self, queue_url: &str, body: &str) -> Result<String, Fault> {
        let sent =
            self.client.get().send_message().queue_url(queue_url).message_body(body).send().await;
        let sent = sent.map_err(|error| internal("sqs:SendMessage", &error))?;
        Ok(sent.message_id().unwrap_or_default().to_owned())
    }

    /// Sends a message again with its original request id. An id that an attribute cannot hold is in the body already.
    ///
    /// # Errors
    /// `Bcce.Internal`: the message cannot be sent.
    pub async fn send_again(
        &self,
        queue_url: &str,
        body: &str,
        request_id: &str,
    ) -> Result<(), Fault> {
        self.send_later(queue_url, body, request_id, Duration::ZERO).await
    }

    async fn send_later(
        &self,
        queue_url: &str,
        body: &str,
        request_id: &str,
        delay: Duration,
    ) -> Result<(), Fault> {
        let mut send = self.client.get().send_message().queue_url(queue_url).message_body(body);
        if !delay.is_zero() {
            send = send.delay_seconds(
                i32::try_from(delay.as_secs()).unwrap_or(MAX_DELAY_S).min(MAX_DELAY_S),
            );
        }
        if !request_id.is_empty() && is_plain(request_id) {
            send = send.message_attributes(letters::REQUEST_ID, attribute(request_id)?);
        }
        let name = queue_url.rsplit('/').next().unwrap_or_default();
        let what = format!("sqs:SendMessage {name}");
        send.send().await.map(|_| ()).map_err(|error| internal(&what, &error))
    }

    /// Returns the number of messages that wait in a queue, and the number that are being processed. Both are SQS's
    /// estimates.
    ///
    /// # Errors
    /// `Bcce.Internal`: the queue cannot be read.
    pub async fn waiting(&self, queue_url: &str) -> Result<(u64, u64), Fault> {
        count(self.client.get(), queue_url).await
    }

    /// Returns the same numbers as [`Self::waiting`] for a queue that is given by its ARN.
    ///
    /// # Errors
    /// `Bcce.Internal`: `queue_arn` is not the ARN of a queue, or the queue cannot be read.
    pub async fn waiting_in(&self, queue_arn: &str) -> Result<(u64, u64), Fault> {
        let url = queue_url(queue_arn)
            .ok_or_else(|| Fault::internal(format!("{queue_arn} is not a queue's ARN")))?;
        self.waiting(&url).await
    }
}

async fn count(client: &Client, queue_url: &str) -> Result<(u64, u64), Fault> {
    use QueueAttributeName as Name;
    let names = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
    let get = client.get_queue_attributes().queue_url(queue_url);
    let got = get.set_attribute_names(Some(names.to_vec())).send().await;
    let got = got.map_err(|error| internal("sqs:GetQueueAttributes", &error))?;
    let [waiting, at_work] =
        names.map(|name| got.attributes()?.get(&name)?.parse().ok()).map(Option::unwrap_or_default);
    Ok((waiting, at_work))
}

fn attribute(value: &str) -> Result<MessageAttributeValue, Fault> {
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(value);
    attribute.build().map_err(|e| Fault::internal(e.to_string()))
}

/// The inboxes, for a function whose caller waits. Implements [`SendRequest`].
pub struct Inboxes {
    client: Client,
    queue_url: String,
}

impl Inboxes {
    /// Creates the adapter. `queue_url` is the inbox of the default tenant. Each other tenant's is
    /// `<queue_url>-<tenant>`.
    pub fn new(config: &SdkConfig, queue_url: &str) -> Self {
        Self { client: Client::new(config), queue_url: queue_url.to_owned() }
    }
}

impl SendRequest for Inboxes {
    async fn send(&self, tenant: Option<&str>, body: &str) -> Result<Sent, Fault> {
        let url = tenant.map(|tenant| format!("{}-{tenant}", self.queue_url));
        let url = url.as_deref().unwrap_or(&self.queue_url);
        let send = self.client.send_message().queue_url(url).message_body(body);
        // Boxed: an SDK future nested in the futures of a handler exceeds the compiler's recursion limit.
        let error = match Box::pin(send.send()).await {
            Ok(_) => return Ok(Sent::Accepted),
            Err(error) => error,
        };
        match error.as_service_error() {
            // Compared by variant, because the service still sends an older spelling of the codes as well.
            Some(known) if known.is_request_throttled() || known.is_kms_throttled() => {
                Ok(Sent::Throttled)
            }
            Some(known) if known.is_queue_does_not_exist() => Ok(Sent::NoInbox),
            _ if error.code() == Some("ThrottlingException") => Ok(Sent::Throttled),
            _ => Err(internal("sqs:SendMessage", &error)),
        }
    }
}

/// The dead-letter queue, to write to. [`letters::DeadLetterQueue`] reads it.
pub struct DeadLetters {
    client: Lazily<Client>,
    queue_url: String,
}

impl DeadLetters {
    pub fn new(config: &SdkConfig, queue_url: &str) -> Self {
        Self { client: Lazily::new(config, Client::new), queue_url: queue_url.to_owned() }
    }
}

impl DeadLetter for DeadLetters {
    async fn dead_letter(&self, letter: &Letter<'_>) -> Result<(), Fault> {
        let reason = cut(&letter.reason.message, MAX_REASON_CHARS);
        let attributes = [
            ("error", letter.reason.name.as_str()),
            ("reason", &reason),
            ("request_id", letter.request_id),
            ("tenant", letter.tenant),
        ];
        let mut send =
            self.client.get().send_message().queue_url(&self.queue_url).message_body(letter.body);
        for (name, value) in attributes {
            send = send.message_attributes(name, attribute(&plain(value))?);
        }
        send.send()
            .await
            .map(|_| ())
            .map_err(|error| internal("sqs:SendMessage to the dead-letter queue", &error))
    }
}

/// Returns true if a message attribute may have this value. SQS refuses control characters, which an id may contain.
pub fn is_plain(value: &str) -> bool {
    value.chars().all(may_be_sent)
}

fn may_be_sent(c: char) -> bool {
    !c.is_control() && c != '\u{fffe}' && c != '\u{ffff}'
}

fn plain(value: &str) -> String {
    value.chars().map(|c| if may_be_sent(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

impl Postpone for Queues {
    async fn postpone(&self, queue_arn: &str, receipt: &str, delay: Duration) -> Result<(), Fault> {
        let url = queue_url(queue_arn)
            .ok_or_else(|| Fault::internal(format!("{queue_arn} is not a queue's ARN")))?;
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        let change =
            self.client.get().change_message_visibility().queue_url(url).receipt_handle(receipt);
        let changed = change.visibility_timeout(seconds).send().await;
        changed.map(|_| ()).map_err(|error| internal("sqs:ChangeMessageVisibility", &error))
    }
}

impl SendAgain for Queues {
    async fn send_again(
        &self,
        queue_arn: &str,
        body: &str,
        request_id: &str,
        delay: Duration,
    ) -> Result<(), Fault> {
        let url = queue_url(queue_arn)
            .ok_or_else(|| Fault::internal(format!("{queue_arn} is not a queue's ARN")))?;
        self.send_later(&url, body, request_id, delay).await
    }
}

/// Returns the URL of a queue. The event has its ARN, but the API requires its URL. The host in the URL is not used:
/// requests go to the client's endpoint.
fn queue_url(arn: &str) -> Option<String> {
    let mut parts = arn.split(':').skip(1);
    let (partition, _) = (parts.next()?, parts.next()?);
    let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    Some(format!("https://sqs.{region}.{suffix}/{account}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesOutput;
    use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
    use aws_sdk_sqs::types::error::{KmsThrottled, QueueDoesNotExist, RequestThrottled};
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;
    use bcce_core::base::error::ErrorName;

    #[tokio::test]
    async fn a_dead_letter_keeps_its_body_and_has_the_reason() {
        let rule = mock!(Client::send_message)
            .match_requests(|send| {
                let attributes = send.message_attributes().unwrap();
                send.message_body() == Some("not json")
                    && attributes["reason"].string_value() == Some("request: is not JSON")
                    && attributes["error"].string_value() == Some("Bcce.InvalidRequest")
            })
            .then_output(|| SendMessageOutput::builder().build());
        let queue = DeadLetters {
            client: mock_client!(aws_sdk_sqs, [&rule]).into(),
            queue_url: "u".into(),
        };
        let reason = Fault::new(ErrorName::InvalidRequest, "request: is not JSON");
        let letter =
            Letter { body: "not json", tenant: "default", request_id: "m", reason: &reason };
        assert_eq!(queue.dead_letter(&letter).await, Ok(()));
    }

    #[tokio::test]
    async fn a_request_goes_to_the_inbox_of_its_tenant() {
        let rule = mock!(Client::send_message)
            .match_requests(|send| send.queue_url() == Some("https://q/inbox-payments"))
            .then_output(|| SendMessageOutput::builder().build());
        let queue_url = "https://q/inbox".to_owned();
        let inboxes = Inboxes { client: mock_client!(aws_sdk_sqs, [&rule]), queue_url };
        assert_eq!(inboxes.send(Some("payments"), "{}").await, Ok(Sent::Accepted));
    }

    async fn sent(error: SendMessageError) -> Result<Sent, Fault> {
        let rule = mock!(Client::send_message).then_error(move || match &error {
            SendMessageError::RequestThrottled(known) => {
                SendMessageError::RequestThrottled(known.clone())
            }
            SendMessageError::KmsThrottled(known) => SendMessageError::KmsThrottled(known.clone()),
            SendMessageError::QueueDoesNotExist(known) => {
                SendMessageError::QueueDoesNotExist(known.clone())
            }
            other => SendMessageError::generic(other.meta().clone()),
        });
        let client = mock_client!(aws_sdk_sqs, [&rule]);
        Inboxes { client, queue_url: "u".into() }.send(None, "{}").await
    }

    #[tokio::test]
    async fn a_throttled_or_missing_inbox_is_no_fault() {
        // SQS sends the older spelling of the code.
        let old = ErrorMetadata::builder().code("KMS.ThrottlingException").build();
        let kms = KmsThrottled::builder().meta(old).build();
        assert_eq!(sent(SendMessageError::KmsThrottled(kms)).await, Ok(Sent::Throttled));
        let much = RequestThrottled::builder().build();
        assert_eq!(sent(SendMessageError::RequestThrottled(much)).await, Ok(Sent::Throttled));
        let code =
            |code: &str| SendMessageError::generic(ErrorMetadata::builder().code(code).build());
        assert_eq!(sent(code("ThrottlingException")).await, Ok(Sent::Throttled));
        let gone = QueueDoesNotExist::builder().build();
        assert_eq!(sent(SendMessageError::QueueDoesNotExist(gone)).await, Ok(Sent::NoInbox));
        assert!(sent(code("InvalidMessageContents")).await.is_err());
    }

    async fn again(request_id: &str, attribute: Option<&'static str>) -> Result<(), Fault> {
        let rule = mock!(Client::send_message)
            .match_requests(move |send| {
                let sent = send.message_attributes().and_then(|all| all.get(letters::REQUEST_ID));
                sent.and_then(|sent| sent.string_value()) == attribute
            })
            .then_output(|| SendMessageOutput::builder().build());
        let queues = Queues { client: mock_client!(aws_sdk_sqs, [&rule]).into() };
        queues.send_again("http://q/inbox", "{}", request_id).await
    }

    #[tokio::test]
    async fn a_message_sent_again_keeps_its_request_id_unless_no_attribute_can_hold_it() {
        assert_eq!(again("m-1", Some("m-1")).await, Ok(()));
        assert_eq!(again("a\u{0}", None).await, Ok(()));
    }

    #[tokio::test]
    async fn a_copy_comes_later_under_the_same_request_id() {
        let rule = mock!(Client::send_message)
            .match_requests(|send| {
                let id = send.message_attributes().and_then(|all| all.get(letters::REQUEST_ID));
                send.queue_url() == Some("https://sqs.us-east-1.amazonaws.com/1/inbox-a")
                    && send.message_body() == Some("{}")
                    && send.delay_seconds() == Some(MAX_DELAY_S)
                    && id.and_then(|id| id.string_value()) == Some("m-1")
            })
            .then_output(|| SendMessageOutput::builder().build());
        let queues = Queues { client: mock_client!(aws_sdk_sqs, [&rule]).into() };
        let (arn, delay) = ("arn:aws:sqs:us-east-1:1:inbox-a", Duration::from_secs(5_000));
        assert_eq!(SendAgain::send_again(&queues, arn, "{}", "m-1", delay).await, Ok(()));
    }

    #[tokio::test]
    async fn a_queue_counts_what_waits_and_what_is_worked_on() {
        use QueueAttributeName as Name;
        let rule = mock!(Client::get_queue_attributes)
            .match_requests(|get| {
                get.queue_url() == Some("https://sqs.us-east-1.amazonaws.com/1/inbox")
            })
            .then_output(|| {
                GetQueueAttributesOutput::builder()
                    .attributes(Name::ApproximateNumberOfMessages, "3")
                    .attributes(Name::ApproximateNumberOfMessagesNotVisible, "2")
                    .build()
            });
        let queues = Queues { client: mock_client!(aws_sdk_sqs, [&rule]).into() };
        assert_eq!(queues.waiting_in("arn:aws:sqs:us-east-1:1:inbox").await, Ok((3, 2)));
    }

    #[test]
    fn what_an_attribute_cannot_hold_is_replaced() {
        assert_eq!(plain("a\u{0}\u{7f}é☃"), "a\u{fffd}\u{fffd}é☃");
        assert!(is_plain("aé☃") && !["\t", "\u{85}", "\u{ffff}"].iter().any(|id| is_plain(id)));
    }

    #[test]
    fn a_queue_url_follows_from_its_arn() {
        let url = queue_url("arn:aws:sqs:us-east-1:123456789012:inbox").unwrap();
        assert_eq!(url, "https://sqs.us-east-1.amazonaws.com/123456789012/inbox");
        let url = queue_url("arn:aws-us-gov:sqs:us-gov-west-1:123456789012:inbox").unwrap();
        assert_eq!(url, "https://sqs.us-gov-west-1.amazonaws.com/123456789012/inbox");
        let url = queue_url("arn:aws-cn:sqs:cn-north-1:123456789012:inbox").unwrap();
        assert_eq!(url, "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/inbox");
        assert_eq!(queue_url("inbox"), None);
    }
}
