//! Finds the run or the batch that a name stands for. A name is the id, a beginning of the id that no other id has, or
//! the request id.

mod kinds; // the records that have names

use std::collections::BTreeMap;

use bcce_aws::dynamodb::listing::{Condition, Listing, Page};
use bcce_core::base::error::Fault;
use bcce_core::ledger::{BatchRecord, RunRecord};
use futures::StreamExt;
use futures::stream::iter;
use time::{Duration, OffsetDateTime, Time};

use self::kinds::Named;
use crate::exit::{Failure, Outcome};
use crate::figures;
use crate::latest::search::{Found, MOST_READ, Search, search};
use crate::latest::unreadable;
use crate::letters::tenant_of;
use crate::paint::one_line;
use crate::stack::Stack;
use crate::terminal::note;
use crate::values;
use crate::world::World;

/// The number of days whose records are searched for a beginning of an id.
const DAYS: i64 = 30;
/// The smallest number of characters of a beginning of an id.
const SHORTEST: usize = 4;
/// The largest number of candidates that are listed.
const LISTED: usize = 10;
/// The largest number of attempts that a search collects. An id may have 99 of them.
const ATTEMPTS: usize = 2_000;
/// The number of ids that are read at the same time.
const AT_A_TIME: usize = 16;

/// The name of a run on the command line.
#[derive(Debug, clap::Args)]
pub struct RunName {
    /// The run: its id, the first characters of its id (at least 4), or its request id
    #[arg(value_name = "RUN", value_parser = values::reference)]
    run: String,
}

/// The name of a batch on the command line.
#[derive(Debug, clap::Args)]
pub struct BatchName {
    /// The batch: its id, the first characters of its id (at least 4), or its request id
    #[arg(value_name = "BATCH", value_parser = values::reference)]
    batch: String,
}

impl RunName {
    /// Returns the id of the run. A whole id is not looked up.
    ///
    /// # Errors
    /// No run or several runs have this name, or AWS cannot be reached.
    pub async fn find(&self, stack: &Stack, world: &World) -> Outcome<String> {
        find::<RunRecord>(&self.run, stack, world).await
    }
}

impl BatchName {
    /// Returns the id of the batch. A whole id is not looked up.
    ///
    /// # Errors
    /// No batch or several batches have this name, or AWS cannot be reached.
    pub async fn find(&self, stack: &Stack, world: &World) -> Outcome<String> {
        find::<BatchRecord>(&self.batch, stack, world).await
    }
}

async fn find<R: Named>(name: &str, stack: &Stack, world: &World) -> Outcome<String> {
    if R::is_id(name) {
        return Ok(name.to_owned());
    }
    let senders = Senders::of::<R>(stack).await;
    let attempts = async |id: String| R::attempts(&stack.ledger, &id).await;
    let page = async |listing: Listing| R::listed(&stack.ledger, listing).await;
    let mut candidates = by_request_id::<R>(name, &senders, attempts).await?;
    let mut is_cut = false;
    if candidates.is_empty() && name.len() >= SHORTEST {
        let found = by_beginning::<R>(name, world.now(), page).await?;
        if let Some(skipped) = unreadable(&found.unreadable) {
            note(&skipped);
        }
        (is_cut, candidates) = (found.next.is_some(), found.records);
    }
    let id = only(name, &candidates, is_cut, &senders, &world.environment)?;
    note(&format!("note: {} is the {} {id}", one_line(name), R::NOUNS[0]));
    Ok(id)
}

/// The tenants and the workflows whose request ids are searched.
#[derive(Debug, Default)]
struct Senders {
    tenants: Vec<String>,
    workflows: Vec<String>,
    /// The reason why not all request ids are searched.
    unread: Option<String>,
}

impl Senders {
    /// Reads the tenants and workflows of the stack. A caller without the permission for that can still give the
    /// beginning of an id.
    async fn of<R: Named>(stack: &Stack) -> Self {
        let mut senders = Self { tenants: vec!["default".to_owned()], ..Self::default() };
        if let Err(fault) = senders.read::<R>(stack).await {
            senders.unread = Some(one_line(&fault.message));
            // A request id that one tenant has may be that of another, too, so some tenants alone are not searched.
            senders.workflows.clear();
        }
        senders
    }

    async fn read<R: Named>(&mut self, stack: &Stack) -> Result<(), Fault> {
        self.workflows = stack.workflows().await?;
        if R::HAS_TENANTS {
            let url = &stack.outputs.inbox_queue_url;
            let inboxes = stack.inboxes.list().await?;
            self.tenants.extend(inboxes.iter().filter_map(|i| tenant_of(&i.queue_arn, url)));
            self.tenants.sort();
            self.tenants.dedup();
        }
        Ok(())
    }
}

/// Returns the latest attempts of the runs or batches with this request id. Their ids are computed.
async fn by_request_id<R: Named>(
    request_id: &str,
    senders: &Senders,
    attempts: impl AsyncFn(String) -> Result<Vec<R>, Fault>,
) -> Result<Vec<R>, Fault> {
    let ids = senders.tenants.iter().flat_map(|tenant| {
        senders.workflows.iter().map(move |workflow| R::id_of(tenant, workflow, request_id))
    });
    let read: Vec<_> =
        iter(ids.map(async |id| attempts(id).await)).buffered(AT_A_TIME).collect().await;
    let mut found = Vec::new();
    for attempts in read {
        found.extend(attempts?.pop());
    }
    Ok(found)
}

/// Returns the attempts of the last days whose ids begin with `beginning`.
async fn by_beginning<R: Named>(
    beginning: &str,
    now: OffsetDateTime,
    page: impl AsyncFn(Listing) -> Result<Page<R>, Fault>,
) -> Result<Found<R>, Fault> {
    let first_day = now.date() - Duration::days(DAYS - 1);
    let wanted = Search {
        since: first_day.with_time(Time::MIDNIGHT).assume_utc(),
        before: None,
        today: now.date(),
        cursor: None,
        conditions: vec![Condition::begins_with(R::ID, beginning)],
        is_narrowed: true,
        limit: ATTEMPTS,
        most_read: MOST_READ * 10,
    };
    search(&wanted, R::shard, page, |_| true).await
}

/// Returns the id of the only candidate. `is_cut` is true if there may be others.
///
/// # Errors
/// There is no candidate, or several.
fn only<R: Named>(
    name: &str,
    candidates: &[R],
    is_cut: bool,
    senders: &Senders,
    environment: &str,
) -> Outcome<String> {
    let by_id: BTreeMap<&str, &R> =
        candidates.iter().rev().map(|record| (record.row().id, record)).collect();
    let [noun, nouns] = R::NOUNS;
    let whole = format!("give the whole id; `bcce {} list` shows the ids", R::GROUP);
    match (by_id.len(), is_cut) {
        (1, false) => Ok(by_id.into_keys().collect()),
        (0, false) => Err(none::<R>(name, senders, environment)),
        (0, true) | (1, true) => Err(Failure::usage(
            format!(
                "{} may stand for several {nouns}: there are too many to search all of the last {DAYS} days",
                one_line(name)
            ),
            match by_id.keys().next() {
                Some(id) => format!("the first one found is {id}; {whole}"),
                None => whole,
            },
        )),
        (count, _) => {
            let at_least = if is_cut { "at least " } else { "" };
            let lines: String =
                by_id.values().take(LISTED).map(|record| candidate(*record)).collect();
            let more = match count.saturating_sub(LISTED) {
                0 => String::new(),
                more => format!("\n  and {more} more"),
            };
            let name = one_line(name);
            let what = format!(
                "{name} stands for {at_least}{count} {nouns}, not for one {noun}:{lines}{more}"
            );
            Err(Failure::usage(what, whole))
        }
    }
}

fn candidate<R: Named>(record: &R) -> String {
    let row = record.row();
    format!("\n  {}  {:<9}  {}", figures::stamp(row.started_at), row.status.text, row.id)
}

/// Returns the failure for a name that nothing has. Says what was searched.
fn none<R: Named>(name: &str, senders: &Senders, environment: &str) -> Failure {
    let [noun, nouns] = R::NOUNS;
    let Senders { tenants, workflows, unread } = senders;
    let requests = match unread {
        Some(why) => format!("its request ids could not be searched ({why})"),
        None => format!(
            "no {noun} of the {} and {} has this request id",
            figures::plural(workflows.len(), "workflow"),
            figures::plural(tenants.len(), "tenant")
        ),
    };
    let ids = match name.len() >= SHORTEST {
        true => format!("no {noun} of the last {DAYS} days has an id that begins with it"),
        false => format!(
            "it has fewer than {SHORTEST} characters, so no beginning of an id was searched"
        ),
    };
    let packed = match noun {
        "run" => {
            "; the packed items of batches, which `bcce batch results` lists, need their whole id"
        }
        _ => "",
    };
    Failure::usage(
        format!("there is no {noun} {} in {environment}: {requests}, and {ids}", one_line(name)),
        format!(
            "`bcce {} list` shows the ids of {nouns}{packed}; --env and AWS_PROFILE select the stack",
            R::GROUP
        ),
    )
}

#[cfg(test)]
mod tests;
