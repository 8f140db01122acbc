//! Looks up which workflows exist. Senders choose the names, so an unknown name must be cheap: it causes no run, no
//! metric, and at most one listing of SSM in ten seconds, however many messages contain it.

use std::collections::BTreeSet;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::config::documents::parameter_name;
use bcce_core::ports::ListParameters;
use futures::lock::Mutex;
use time::OffsetDateTime;

/// The shortest time between two listings for unknown names. SSM returns ten names in a response, and 40 responses a
/// second to the whole account. Ten instances that are flooded with made-up names use a tenth of that for each forty
/// workflows.
const BETWEEN: Duration = Duration::from_secs(10);
/// The longest pause after listings that failed, which is the same as in the webhook function. The first pause is
/// [`BETWEEN`], and each further pause is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The largest difference between the clocks of SQS and of this function.
const SKEW: Duration = Duration::from_secs(5);

/// The answer to whether a workflow exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// The workflow is listed.
    Yes,
    /// The workflow is missing from a list that is newer than the message.
    No,
    /// No list is newer than the message. The next one may be read after this time.
    NotYet(Duration),
}

/// A message's workflow, and the times that decide which list is new enough to refuse it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub workflow: &'a str,
    /// The time at which the message was sent, by the clock of SQS.
    pub sent_at: OffsetDateTime,
    /// The start of the invocation that received the message.
    pub received_at: OffsetDateTime,
    pub now: OffsetDateTime,
}

/// The names of workflows, as they were last listed. A name that is already known needs no new list, so its workflow
/// starts even while SSM is down. `prepare` refuses a run whose workflow was removed since.
#[derive(Default)]
pub struct Workflows(Mutex<Listed>);

#[derive(Default)]
struct Listed {
    names: BTreeSet<String>,
    /// The start of the last listing that succeeded.
    at: Option<OffsetDateTime>,
    /// The time before which nothing is listed.
    not_before: Option<OffsetDateTime>,
    /// Listings that have failed since then.
    failures: u32,
}

impl Workflows {
    /// Looks up a workflow. Lists the names first if the list is too old and the next listing is due.
    pub async fn look_up(
        &self,
        parameters: &impl ListParameters,
        environment: &str,
        question: Question<'_>,
    ) -> Known {
        // The lock is held during the listing, so that the messages of a batch share it.
        let mut listed = self.0.lock().await;
        let known = listed.answer(question);
        if !matches!(known, Known::NotYet(wait) if wait.is_zero()) {
            return known;
        }
        let now = question.now;
        match names(parameters, environment).await {
            Ok(names) => {
                let not_before = Some(now + BETWEEN);
                *listed = Listed { names, at: Some(now), not_before, failures: 0 };
            }
            Err(fault) => {
                tracing::warn!("the workflows could not be listed: {}", fault.message);
                let pause = BETWEEN.saturating_mul(1 << listed.failures.min(5)).min(LONGEST_PAUSE);
                listed.not_before = Some(now + pause);
                listed.failures += 1;
            }
        }
        listed.answer(question)
    }
}

impl Listed {
    fn answer(&self, question: Question<'_>) -> Known {
        let Question { workflow, sent_at, received_at, now } = question;
        if self.names.contains(workflow) {
            return Known::Yes;
        }
        // The sender may have pushed the workflow just before it sent the message.
        if self.at.is_some_and(|at| at >= received_at || at >= sent_at + SKEW) {
            return Known::No;
        }
        let wait = self
            .not_before
            .map_or(Duration::ZERO, |at| Duration::try_from(at - now).unwrap_or_default());
        Known::NotYet(wait)
    }
}

/// Lists the names of the workflows of an environment.
async fn names(
    parameters: &impl ListParameters,
    environment: &str,
) -> Result<BTreeSet<String>, Fault> {
    let path = parameter_name(environment, "workflows");
    // Boxed, because the SDK's futures inside those of a handler exceed the compiler's limit on type depth.
    let below = Box::pin(parameters.below(&path)).await?;
    let name =
        |parameter: &String| Some(parameter.strip_prefix(&path)?.strip_prefix('/')?.to_owned());
    Ok(below.keys().filter_map(name).collect())
}
