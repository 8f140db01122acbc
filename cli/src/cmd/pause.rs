use std::io::Write;
use std::time::Duration;

use bcce_aws::lambda::Inbox;
use serde_json::json;

use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::letters::tenant_of;
use crate::stack::Stack;
use crate::world::World;

/// The longest time to wait for Lambda, which needs up to a minute or two.
const PATIENCE: Duration = Duration::from_secs(180);
/// The time between two reads of the state.
const PAUSE: Duration = Duration::from_secs(1);

const FIELDS: [Field; 4] = [
    ("tenant", "tenant of the inbox"),
    ("state", "Enabled or Disabled, or a state on the way there if the command timed out"),
    ("waiting", "approximate number of messages that wait"),
    ("dispatching", "approximate number of messages that are being dispatched"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an array of inboxes.", &[&FIELDS]))]
pub struct Args {
    /// Change only the inbox of this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Print the inboxes as JSON
    #[arg(long)]
    json: bool,
}

/// Resumes the inboxes if `enabled` is true, and pauses them otherwise. Waits until the change is in effect.
pub async fn run(args: Args, enabled: bool, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let wanted = if enabled { "Enabled" } else { "Disabled" };
    let url = &stack.outputs.inbox_queue_url;
    for inbox in of(stack.inboxes.list().await?, args.tenant.as_deref(), url)? {
        change(&stack, &inbox, enabled, wanted).await?;
    }
    let started = world.now();
    loop {
        let inboxes = of(stack.inboxes.list().await?, args.tenant.as_deref(), url)?;
        let reached = inboxes.iter().all(|inbox| inbox.state == wanted);
        if !reached && world.now() - started < PATIENCE {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        print(&stack, &inboxes, args.json, out).await?;
        return match reached {
            true => Ok(Exit::Done),
            false => {
                let late = inboxes.iter().filter(|inbox| inbox.state != wanted);
                let tenants = late.filter_map(|inbox| tenant_of(&inbox.queue_arn, url));
                let tenants = tenants.collect::<Vec<_>>().join(", ");
                Err(Failure {
                    exit: Exit::TimedOut,
                    what: format!("the inboxes of these tenants are not {wanted} yet: {tenants}"),
                    then: "Lambda is still changing the inboxes; run the same command again to wait for it".into(),
                })
            }
        };
    }
}

/// Prints the state of each inbox and the number of its messages.
async fn print(
    stack: &Stack,
    inboxes: &[Inbox],
    is_json: bool,
    out: &mut dyn Write,
) -> Outcome<()> {
    let mut printed = Vec::new();
    for Inbox { queue_arn, state, .. } in inboxes {
        let (waiting, dispatching) = stack.queues.waiting_in(queue_arn).await?;
        let tenant = tenant_of(queue_arn, &stack.outputs.inbox_queue_url).unwrap_or_default();
        if is_json {
            printed.push(json!({
                "tenant": tenant,
                "state": state,
                "waiting": waiting,
                "dispatching": dispatching,
            }));
        } else {
            let counts = format!("about {waiting} waiting, {dispatching} being dispatched");
            writeln!(out, "{state:<9}  {tenant}  {counts}")?;
        }
    }
    if is_json {
        json::print(&printed, out)?;
    }
    Ok(())
}

/// Changes the state of an inbox. Lambda refuses a change while another one is under way, so this retries for at
/// most `PATIENCE`.
async fn change(stack: &Stack, inbox: &Inbox, enabled: bool, wanted: &str) -> Outcome<()> {
    if inbox.state == wanted {
        return Ok(());
    }
    let mut left = PATIENCE;
    loop {
        match stack.inboxes.enable(&inbox.id, enabled).await {
            Err(fault) if fault.message.contains("ResourceInUse") && !left.is_zero() => {
                tokio::time::sleep(PAUSE).await;
                left = left.saturating_sub(PAUSE);
            }
            done => return Ok(done?),
        }
    }
}

/// Returns the inbox of a tenant, or all inboxes of the stack.
///
/// # Errors
/// The tenant has no inbox, or no inbox is connected to dispatch.
fn of(inboxes: Vec<Inbox>, tenant: Option<&str>, inbox_url: &str) -> Outcome<Vec<Inbox>> {
    let mut meant: Vec<Inbox> = inboxes
        .into_iter()
        .filter(|inbox| {
            tenant_of(&inbox.queue_arn, inbox_url)
                .is_some_and(|of| tenant.is_none_or(|tenant| tenant == of))
        })
        .collect();
    meant.sort_by(|a, b| a.queue_arn.cmp(&b.queue_arn));
    match (meant.is_empty(), tenant) {
        (false, _) => Ok(meant),
        (true, Some(tenant)) => Err(Failure::usage(
            format!("{tenant} has no inbox"),
            "run the command without --tenant to change all inboxes",
        )),
        (true, None) => Err(Failure::unreachable(
            "no inbox is connected to dispatch",
            "deploy the stack again: `make up` locally, `make deploy` on AWS",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inboxes_are_meant_by_tenant() {
        let url = "https://sqs.us-east-1.amazonaws.com/1/bcce-inbox";
        let inbox = |name: &str| Inbox {
            id: name.into(),
            queue_arn: format!("arn:aws:sqs:us-east-1:1:{name}"),
            state: "Enabled".into(),
        };
        let ids = |tenant: Option<&str>| {
            let all = ["other", "bcce-inbox-a", "bcce-inbox"].map(inbox).to_vec();
            of(all, tenant, url)
                .map(|meant| meant.into_iter().map(|inbox| inbox.id).collect::<Vec<_>>())
                .map_err(|failure| failure.exit)
        };
        assert_eq!(ids(None), Ok(vec!["bcce-inbox".into(), "bcce-inbox-a".into()]));
        assert_eq!(ids(Some("a")), Ok(vec!["bcce-inbox-a".into()]));
        assert_eq!(ids(Some("default")), Ok(vec!["bcce-inbox".into()]));
        assert_eq!(ids(Some("b")), Err(Exit::Usage));
    }
}
