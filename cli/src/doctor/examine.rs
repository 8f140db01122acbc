//! Makes all checks at the same time. Each subject has a time limit, so `bcce doctor` always ends.

use std::time::Duration;

use bcce_aws::SdkConfig;
use bcce_aws::account::Origin;
use bcce_aws::signed::Services;
use bcce_core::base::error::Fault;
use futures::future::{FutureExt, LocalBoxFuture, join_all};
use time::OffsetDateTime;

use super::credentials::Facts as Caller;
use super::{
    Check, Group, State, alarms, bucket, credentials, documents, keys, network, permissions,
    queues, rules, runs, stack, targets,
};
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
    let services = Services::new(config);
    let name = stack_name(&stack);
    let command = |rest: &str| stack.command(rest);
    let read = futures::join!(
        of_documents(&stack, config, now),
        join_all([
            limited(
                "keys",
                async { keys::check(&keys::read(config, &stack.outputs).await) }.boxed_local()
            ),
            limited(
                "bucket",
                async { bucket::check(stack.store.bucket(), &stack.store.settings().await) }
                    .boxed_local()
            ),
            limited(
                "queues",
                async {
                    queues::check(&queues::Facts::read(&stack, &services, now).await, command)
                }
                .boxed_local()
            ),
            limited(
                "rules",
                async { rules::check(&name, &rules::read(&services, &name, now).await) }
                    .boxed_local()
            ),
            limited(
                "runs",
                async { runs::check(&runs::read(&stack, now).await, now, command) }.boxed_local()
            ),
            limited(
                "alarms",
                async { alarms::check(&name, &services.alarms(&format!("{name}-")).await) }
                    .boxed_local()
            ),
            limited(
                "network",
                async { network::check(&network::read(config, &services, &name).await) }
                    .boxed_local()
            ),
            limited(
                "permissions",
                async { permissions::check(&permissions::read(&services, identity, &stack).await) }
                    .boxed_local()
            ),
        ])
    );
    let ((of_documents, targets), others) = read;
    groups.extend(of_documents);
    groups.extend(others);
    Examined { groups, stack: Some(stack), could_run: true, targets }
}

/// Returns the name of the CloudFormation stack. A stack without it in its parameter has it in the name of its inbox.
pub fn stack_name(stack: &Stack) -> String {
    let outputs = &stack.outputs;
    let queue = outputs.inbox_queue_url.rsplit('/').next().unwrap_or_default();
    let of_queue = queue.strip_suffix("-inbox").unwrap_or(queue);
    if outputs.stack.is_empty() { of_queue.to_owned() } else { outputs.stack.clone() }
}

/// Checks the documents, then the targets in them. Returns the number of targets, too.
async fn of_documents(
    stack: &Stack,
    config: &SdkConfig,
    now: OffsetDateTime,
) -> (Vec<Group>, usize) {
    let mut texts = None;
    let checks = limited(
        "documents",
        async {
            match documents::read(stack).await {
                Ok(found) => {
                    let missing = documents::missing_secrets(stack, &found).await;
                    let checks = documents::check(&found, &missing, now.date());
                    texts = Some(documents::texts(&found));
                    checks
                }
                Err(fault) => vec![Check::unread("document", "documents", &fault)],
            }
        }
        .boxed_local(),
    )
    .await;
    let mut count = 0;
    let of_targets = limited(
        "targets",
        async {
            match targets::read(stack, config, &texts.unwrap_or_default(), now).await {
                Ok(facts) => {
                    count = facts.targets.len();
                    targets::check(&facts)
                }
                Err(fault) => {
                    let reason = format!("the check could not be made: {}", fault.message);
                    vec![Check::warn("target", "targets", reason, "correct the documents first")]
                }
            }
        }
        .boxed_local(),
    )
    .await;
    (vec![checks, of_targets], count)
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
