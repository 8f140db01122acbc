//! Knows which workflows exist. Senders choose names, so a name that is nobody's must cost nothing: no run, no metric, and
//! at most one listing of SSM in ten seconds, however many messages name it.

use std::collections::BTreeSet;
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::config::documents::parameter_name;
use bcce_core::ports::ListParameters;
use futures::lock::Mutex;
use time::OffsetDateTime;

/// How often an unknown name has the names listed again. SSM gives ten names an answer and 40 answers a second to the
/// whole account: ten instances that are flooded with made-up names take a tenth of that for each forty workflows.
const BETWEEN: Duration = Duration::from_secs(10);
/// The longest pause after listings that failed, as long as the one of webhook. The first is [`BETWEEN`], and each is
/// twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How far apart the clocks of SQS and of this function may be.
const SKEW: Duration = Duration::from_secs(5);

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    Yes,
    /// A list that is newer than the message lacks it.
    No,
    /// There is no such list yet. The next one may be read after this time.
    NotYet(Duration),
}

/// A message's workflow, and the times that say which list is new enough to refuse it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub workflow: &'a str,
    /// When the message was sent, by the clock of SQS.
    pub sent_at: OffsetDateTime,
    /// When the invocation began that has received the message.
    pub received_at: OffsetDateTime,
    pub now: OffsetDateTime,
}

/// The names as they were last listed. A known name needs no list: its workflow starts also while SSM is down, and
/// `prepare` refuses it when it is gone.
#[derive(Default)]
pub struct Workflows(Mutex<Listed>);

#[derive(Default)]
struct Listed {
    names: BTreeSet<String>,
    /// When the last listing that succeeded began.
    at: Option<OffsetDateTime>,
    not_before: Option<OffsetDateTime>,
    /// Listings that have failed since then.
    failures: u32,
}

impl Workflows {
    /// Looks a name up, and lists the names if it has to and may.
    pub async fn look_up(
        &self,
        parameters: &impl ListParameters,
        environment: &str,
        question: Question<'_>,
    ) -> Known {
        // The lock is held while SSM is asked, so that the messages of a batch share one listing.
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
        // Before it sent the message, the sender may have pushed the workflow.
        if self.at.is_some_and(|at| at >= received_at || at >= sent_at + SKEW) {
            return Known::No;
        }
        let wait = self
            .not_before
            .map_or(Duration::ZERO, |at| Duration::try_from(at - now).unwrap_or_default());
        Known::NotYet(wait)
    }
}

async fn names(
    parameters: &impl ListParameters,
    environment: &str,
) -> Result<BTreeSet<String>, Fault> {
    let path = parameter_name(environment, "workflows");
    // Boxed: the SDK's futures inside those of a handler are deeper than the compiler looks.
    let below = Box::pin(parameters.below(&path)).await?;
    let name =
        |parameter: &String| Some(parameter.strip_prefix(&path)?.strip_prefix('/')?.to_owned());
    Ok(below.keys().filter_map(name).collect())
}
