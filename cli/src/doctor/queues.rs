//! Checks the inboxes and the dead letters.

use bcce_aws::lambda::Inbox;
use bcce_aws::signed::Services;
use bcce_aws::watch::Metric;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;

use super::Check;
use crate::figures;
use crate::letters::tenant_of;
use crate::stack::Stack;

/// The state of the queues.
pub struct Facts {
    pub inbox_url: String,
    pub inboxes: Result<Vec<Inbox>, Fault>,
    /// The number of dead letters that can be received, and of those that are hidden.
    pub dead_letters: Result<(u64, u64), Fault>,
    /// The age of the oldest dead letter in seconds. 0 if CloudWatch does not know it.
    pub oldest_s: f64,
}

impl Facts {
    pub async fn read(stack: &Stack, services: &Services, now: OffsetDateTime) -> Self {
        let url = &stack.outputs.dead_letter_queue_url;
        let age = Metric {
            namespace: "AWS/SQS",
            name: "ApproximateAgeOfOldestMessage",
            dimension: ("QueueName", url.rsplit('/').next().unwrap_or_default()),
            statistic: "Maximum",
        };
        let (inboxes, dead_letters, oldest) = futures::join!(
            stack.inboxes.list(),
            stack.dead_letters.count(),
            services.statistic(age, 1, now)
        );
        let inbox_url = stack.outputs.inbox_queue_url.clone();
        Self { inbox_url, inboxes, dead_letters, oldest_s: oldest.unwrap_or_default() }
    }
}

pub fn check(facts: &Facts, command: impl Fn(&str) -> String) -> Vec<Check> {
    let mut checks = vec![dead_letters(facts, &command)];
    match &facts.inboxes {
        Err(fault) => checks.push(Check::unread("inbox", "inboxes", fault)),
        Ok(inboxes) if inboxes.is_empty() => {
            let reason =
                "no inbox is connected to the function `dispatch`, so no message becomes a run";
            checks.push(Check::fail(
                "inbox",
                "inboxes",
                reason,
                "deploy the stack again: `make deploy`",
            ));
        }
        Ok(inboxes) => {
            checks.extend(inboxes.iter().map(|inbox| one(inbox, &facts.inbox_url, &command)));
        }
    }
    checks
}

fn dead_letters(facts: &Facts, command: &impl Fn(&str) -> String) -> Check {
    let (name, subject) = ("dead-letters", "dead-letter queue");
    let waiting = match &facts.dead_letters {
        Ok((waiting, hidden)) => waiting + hidden,
        Err(fault) => return Check::unread(name, subject, fault),
    };
    if waiting == 0 {
        return Check::pass(name, subject, "empty");
    }
    let letters = figures::plural(usize::try_from(waiting).unwrap_or(usize::MAX), "message");
    let age = time::Duration::seconds_f64(facts.oldest_s);
    let oldest = match facts.oldest_s {
        0.0 => String::new(),
        _ => format!(", the oldest for {}", figures::duration(age)),
    };
    let remedy = format!(
        "`{}` shows the reason of each; after 14 days SQS deletes them; `{}` sends them again",
        command("dlq list"),
        command("dlq redrive")
    );
    Check::warn(name, subject, format!("{letters} could not become a run{oldest}"), remedy)
}

fn one(inbox: &Inbox, inbox_url: &str, command: &impl Fn(&str) -> String) -> Check {
    let name = "inbox";
    match inbox.state.as_str() {
        "Enabled" => Check::pass(name, &inbox.queue_arn, "receives messages"),
        state => {
            let tenant = tenant_of(&inbox.queue_arn, inbox_url);
            let rest = tenant.map(|tenant| format!("resume --tenant {tenant}"));
            let reason = format!("the inbox is {state}, so messages wait in it");
            let remedy =
                format!("`{}`, if the pause is over", command(&rest.unwrap_or("resume".into())));
            Check::warn(name, &inbox.queue_arn, reason, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn facts(state: &str, letters: u64) -> Facts {
        let queue_arn = "arn:aws:sqs:us-east-1:1:s-inbox".to_owned();
        Facts {
            inbox_url: "https://sqs/1/s-inbox".into(),
            inboxes: Ok(vec![Inbox { id: "1".into(), queue_arn, state: state.into() }]),
            dead_letters: Ok((letters, 0)),
            oldest_s: 7_200.0,
        }
    }

    fn checked(facts: &Facts) -> Vec<Check> {
        check(facts, |rest| format!("bcce {rest}"))
    }

    #[test]
    fn empty_dead_letters_and_an_open_inbox_are_no_finding() {
        assert!(checked(&facts("Enabled", 0)).iter().all(|check| check.state == State::Pass));
    }

    #[test]
    fn dead_letters_and_a_pause_are_warnings_with_their_commands() {
        let found = checked(&facts("Disabled", 3));
        assert!(found.iter().all(|check| check.state == State::Warn));
        assert!(
            found[0].reason.starts_with("3 messages could not become a run, the oldest for 2"),
            "{found:?}"
        );
        assert!(found[0].remedy.contains("`bcce dlq redrive`"), "{found:?}");
        assert!(found[1].remedy.starts_with("`bcce resume --tenant default`"), "{found:?}");
    }

    #[test]
    fn a_stack_without_an_inbox_fails() {
        let facts = Facts { inboxes: Ok(vec![]), ..facts("", 0) };
        assert_eq!(checked(&facts)[1].state, State::Fail);
    }
}
