//! Makes all checks at the same time. Each subject has a time limit, so `bcce doctor` always ends.

use std::time::Duration;

use bcce_aws::SdkConfig;
use bcce_aws::account::{Identity, Origin};
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;
use bcce_core::ledger::{BatchRecord, RunRecord};
use futures::future::{FutureExt, LocalBoxFuture, join_all};
use time::OffsetDateTime;

use super::credentials::Facts as Caller;
use super::running::Recorded;
use super::{
    Check, Group, State, alarms, bucket, credentials, documents, keys, network, permissions,
    queues, rules, running, stack, targets,
};
use crate::directory::Texts;
use crate::stack::Stack;

/// The longest time of the checks of one subject.
const LIMIT: Duration = Duration::from_secs(45);

/// The checks, and the stack if there is one.
pub struct Examined {
    pub groups: Vec<Group>,
    pub stack: Option<Stack>,
    /// True if AWS could be called.
    pub could_run: bool,
    /// The number of targets that `--live` would call.
    pub targets: usize,
}

impl Examined {
    /// Returns true if a check failed.
    pub fn failed(&self) -> bool {
        self.groups.iter().any(|group| group.count(State::Fail) > 0)
    }

    fn without_stack(groups: Vec<Group>, could_run: bool) -> Self {
        Self { groups, stack: None, could_run, targets: 0 }
    }
}

/// Makes all checks of an environment.
pub async fn examine(
    environment: &str,
    config: &SdkConfig,
    origin: &Result<Origin, Fault>,
    now: OffsetDateTime,
) -> Examined {
    let caller = Caller::read(config, origin, now).await;
    let mut groups = vec![Group { name: "credentials", checks: credentials::check(&caller) }];
    let Ok(identity) = &caller.identity else {
        return Examined::without_stack(groups, false);
    };
    let stack = match Stack::with(environment, config).await {
        Ok(stack) => stack,
        Err(failure) => {
            let check = Check::fail("stack", environment, failure.what, failure.then);
            groups.push(Group { name: "stack", checks: vec![check] });
            return Examined::without_stack(groups, true);
        }
    };
    let checks = stack::check(environment, &caller.region, &stack.outputs);
    groups.push(Group { name: "stack", checks });
    let (services, name) = (Services::new(config), stack_name(&stack));
    let subjects = Subjects { stack: &stack, name, config, services, identity, now };
    let (found, targets) = subjects.examine().await;
    groups.extend(found);
    Examined { groups, stack: Some(stack), could_run: true, targets }
}

/// Returns the name of the CloudFormation stack. A stack without it in its parameter has it in the name of its inbox.
pub fn stack_name(stack: &Stack) -> String {
    let outputs = &stack.outputs;
    let queue = outputs.inbox_queue_url.rsplit('/').next().unwrap_or_default();
    let of_queue = queue.strip_suffix("-inbox").unwrap_or(queue);
    if outputs.stack.is_empty() { of_queue.to_owned() } else { outputs.stack.clone() }
}

/// Holds what the checks of a stack read. Each method makes the checks of one subject.
struct Subjects<'a> {
    stack: &'a Stack,
    /// The name of the CloudFormation stack.
    name: String,
    config: &'a SdkConfig,
    services: Services,
    identity: &'a Identity,
    now: OffsetDateTime,
}

impl Subjects<'_> {
    /// Makes the checks of all subjects. Returns the number of targets, too.
    async fn examine(&self) -> (Vec<Group>, usize) {
        let others = join_all([
            limited("keys", self.keys().boxed_local()),
            limited("bucket", self.bucket().boxed_local()),
            limited("queues", self.queues().boxed_local()),
            limited("rules", self.rules().boxed_local()),
            limited("runs", self.running::<RunRecord>().boxed_local()),
            limited("batches", self.running::<BatchRecord>().boxed_local()),
            limited("alarms", self.alarms().boxed_local()),
            limited("network", self.network().boxed_local()),
            limited("permissions", self.permissions().boxed_local()),
        ]);
        let ((mut groups, targets), others) = futures::join!(self.documents_and_targets(), others);
        groups.extend(others);
        (groups, targets)
    }

    /// Checks the documents, then the targets in them. Returns the number of targets, too.
    async fn documents_and_targets(&self) -> (Vec<Group>, usize) {
        let (mut texts, mut count) = (Texts::new(), 0);
        let documents = limited("documents", self.documents(&mut texts).boxed_local()).await;
        let targets = limited("targets", self.targets(&texts, &mut count).boxed_local()).await;
        (vec![documents, targets], count)
    }

    /// Checks the documents, and writes their texts to `texts`.
    async fn documents(&self, texts: &mut Texts) -> Vec<Check> {
        let found = match documents::read(self.stack).await {
            Ok(found) => found,
            Err(fault) => return vec![Check::unread("document", "documents", &fault)],
        };
        let missing = documents::missing_secrets(self.stack, &found).await;
        *texts = documents::texts(&found);
        documents::check(&found, &missing, self.now.date())
    }

    /// Checks the targets, and writes their number to `count`. `texts` has the workflows.
    async fn targets(&self, texts: &Texts, count: &mut usize) -> Vec<Check> {
        match targets::read(self.stack, self.config, texts, self.now).await {
            Ok(facts) => {
                *count = facts.targets.len();
                targets::check(&facts)
            }
            Err(fault) => {
                let reason = format!("the check could not be made: {}", fault.message);
                vec![Check::warn("target", "targets", reason, "correct the documents first")]
            }
        }
    }

    async fn keys(&self) -> Vec<Check> {
        keys::check(&keys::read(self.config, &self.stack.outputs).await)
    }

    async fn bucket(&self) -> Vec<Check> {
        let store = &self.stack.store;
        bucket::check(store.bucket(), &store.settings().await)
    }

    async fn queues(&self) -> Vec<Check> {
        let facts = queues::Facts::read(self.stack, &self.services, self.now).await;
        queues::check(&facts, |rest| self.stack.command(rest))
    }

    async fn rules(&self) -> Vec<Check> {
        rules::check(&self.name, &rules::read(&self.services, &self.name, self.now).await)
    }

    /// Checks the records of runs, or those of batches.
    async fn running<R: Recorded>(&self) -> Vec<Check> {
        let found = running::read::<R>(self.stack, self.now).await;
        running::check(&found, self.now, |rest| self.stack.command(rest))
    }

    async fn alarms(&self) -> Vec<Check> {
        let prefix = format!("{}-", self.name);
        alarms::check(&self.name, &self.services.alarms(&prefix).await)
    }

    async fn network(&self) -> Vec<Check> {
        network::check(&network::read(self.config, &self.services, &self.name).await)
    }

    async fn permissions(&self) -> Vec<Check> {
        let facts = permissions::read(&self.services, self.identity, self.stack).await;
        permissions::check(&facts)
    }
}

async fn limited(name: &'static str, checks: LocalBoxFuture<'_, Vec<Check>>) -> Group {
    let checks = tokio::time::timeout(LIMIT, checks).await.unwrap_or_else(|_| {
        let reason = format!("the checks did not end within {} s", LIMIT.as_secs());
        vec![Check::warn(
            "time",
            name,
            reason,
            "run `bcce doctor` again; if it happens again, check the network",
        )]
    });
    Group { name, checks }
}
