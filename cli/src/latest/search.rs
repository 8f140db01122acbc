//! Searches the records of the last days, newest first. The ledger lists the records of a day in shards, each in pages.
//! The search merges the shards of a day, and holds one page of each in memory.

use std::collections::VecDeque;

use bcce_aws::dynamodb::listing::{Condition, Listing, ListingKey, Page};
use bcce_core::base::error::Fault;
use bcce_core::ledger::SHARDS;
use futures::future::try_join_all;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, UtcOffset};

use super::cursor::Cursor;

/// The largest number of records that one command reads. With a kilobyte each, they are 100 MB.
pub const MOST_READ: usize = 100_000;
/// The number of records of a page if not every record is wanted. One answer of the ledger holds them.
const WHOLE_PAGE: usize = 1_000;
/// A text before that of every time.
pub const FIRST: &str = "0";
/// A text after that of every time.
pub const LAST: &str = "~";

/// The records to search for.
#[derive(Clone, Debug)]
pub struct Search {
    /// The earliest start.
    pub since: OffsetDateTime,
    /// The end of the starts, which is not included.
    pub before: Option<OffsetDateTime>,
    pub today: Date,
    /// The end of the page before this one.
    pub cursor: Option<Cursor>,
    /// The conditions that the ledger checks.
    pub conditions: Vec<Condition>,
    /// True if records are wanted that neither the times nor the conditions tell apart.
    pub is_narrowed: bool,
    pub limit: usize,
    /// The number of records after which the search stops ([`MOST_READ`]).
    pub most_read: usize,
}

/// The records that a search found.
#[derive(Debug)]
pub struct Found<R> {
    /// The records, newest first.
    pub records: Vec<R>,
    /// The position at which the search ended, if there may be further records.
    pub next: Option<Cursor>,
    /// True if the search stopped before it found `limit` records, because it had read too many others.
    pub is_cut: bool,
    /// The keys of the items that cannot be read.
    pub unreadable: Vec<String>,
}

/// Searches for records that `wanted` accepts. `shard` returns the key of a shard, and `page` reads a page of it.
///
/// # Errors
/// The ledger cannot be read.
pub async fn search<R>(
    search: &Search,
    shard: impl Fn(Date, char) -> String,
    page: impl AsyncFn(Listing) -> Result<Page<R>, Fault>,
    wanted: impl Fn(&R) -> bool,
) -> Result<Found<R>, Fault> {
    let mut found =
        Found { records: Vec::new(), next: None, is_cut: false, unreadable: Vec::new() };
    // DynamoDB refuses bounds in the wrong order. The cursor of another list may come before all times.
    if search.until() < second(search.since) {
        return Ok(found);
    }
    let mut read = 0;
    let mut day = search.last_day();
    while day >= search.since.date() {
        let mut feeds: Vec<Feed<R>> = SHARDS.chars().map(|d| Feed::new(shard(day, d))).collect();
        loop {
            if feeds.iter().any(Feed::is_dry) {
                if read >= search.most_read {
                    found.stop(feeds, day, search.limit);
                    return Ok(found);
                }
                let dry = feeds.iter_mut().filter(|feed| feed.is_dry());
                let filled = dry.map(|feed| feed.fill(search, &page, &wanted));
                for (count, unreadable) in try_join_all(filled).await? {
                    read += count;
                    found.unreadable.extend(unreadable);
                }
                continue;
            }
            let Some((key, record)) = newest(&mut feeds) else { break };
            found.records.push(record);
            if found.records.len() == search.limit {
                let is_last_day = day <= search.since.date();
                let is_end = is_last_day && feeds.iter().all(Feed::is_exhausted);
                found.next = (!is_end).then(|| Cursor::after(&key));
                return Ok(found);
            }
        }
        let Some(before) = day.previous_day() else { break };
        day = before;
    }
    Ok(found)
}

impl Search {
    fn last_day(&self) -> Date {
        let cursor = self.cursor.as_ref().and_then(Cursor::day);
        let before = self.before.map(|before| before.to_offset(UtcOffset::UTC).date());
        [cursor, before].into_iter().flatten().fold(self.today, Date::min)
    }

    /// Returns the page of a shard after `after`.
    fn listing(&self, shard: &str, after: Option<ListingKey>) -> Listing {
        let most = if self.is_narrowed || !self.conditions.is_empty() {
            WHOLE_PAGE
        } else {
            self.limit.min(WHOLE_PAGE)
        };
        Listing {
            shard: shard.to_owned(),
            from: second(self.since),
            until: self.until(),
            conditions: self.conditions.clone(),
            most: i32::try_from(most).unwrap_or(i32::MAX),
            after,
        }
    }

    /// Returns the highest start, as a text.
    fn until(&self) -> String {
        // A text without its fraction comes before all texts of its second.
        let before = self.before.map(|before| format!("{}{LAST}", second(before)));
        let cursor = self.cursor.as_ref().map(|cursor| cursor.started_at().to_owned());
        before.into_iter().chain(cursor).fold(LAST.to_owned(), String::min)
    }

    fn includes(&self, key: &ListingKey, started_at: OffsetDateTime) -> bool {
        started_at >= self.since
            && self.before.is_none_or(|before| started_at < before)
            && self.cursor.as_ref().is_none_or(|cursor| cursor.precedes(key))
    }
}

/// Returns the beginning that the texts of all times of a second have.
fn second(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    at.to_offset(UtcOffset::UTC).format(format).unwrap_or_default()
}

/// The records of one shard that were read and not yet taken.
struct Feed<R> {
    shard: String,
    /// The wanted records, newest first, that no record on a later page precedes.
    ready: VecDeque<(ListingKey, R)>,
    /// The wanted records with the same start as the end of the last page.
    held: Vec<(ListingKey, R)>,
    has_begun: bool,
    /// The end of the last page, if there is another one.
    next: Option<ListingKey>,
}

impl<R> Feed<R> {
    fn new(shard: String) -> Self {
        Self { shard, ready: VecDeque::new(), held: Vec::new(), has_begun: false, next: None }
    }

    fn has_more(&self) -> bool {
        !self.has_begun || self.next.is_some()
    }

    /// Returns true if a page must be read to know the next record.
    fn is_dry(&self) -> bool {
        self.ready.is_empty() && self.has_more()
    }

    fn is_exhausted(&self) -> bool {
        self.ready.is_empty() && !self.has_more()
    }

    /// Reads a page. Returns how many records were read and the keys of those that cannot be read.
    async fn fill(
        &mut self,
        search: &Search,
        page: &impl AsyncFn(Listing) -> Result<Page<R>, Fault>,
        wanted: &impl Fn(&R) -> bool,
    ) -> Result<(usize, Vec<String>), Fault> {
        let Page { records, read, unreadable, next } =
            page(search.listing(&self.shard, self.next.take())).await?;
        let wanted = records.into_iter().filter(|(key, record)| {
            let at = OffsetDateTime::parse(&key.started_at, &Rfc3339);
            at.is_ok_and(|at| search.includes(key, at)) && wanted(record)
        });
        let mut records: Vec<_> = self.held.drain(..).chain(wanted).collect();
        records.sort_by(|(a, _), (b, _)| b.cmp(a));
        let end = next.as_ref().map(|end| end.started_at.as_str()).unwrap_or_default();
        let held = records.partition_point(|(key, _)| key.started_at.as_str() > end);
        self.held = records.split_off(held);
        self.ready.extend(records);
        (self.has_begun, self.next) = (true, next);
        Ok((read, unreadable))
    }
}

/// Takes the newest record of all shards. No shard may be dry.
fn newest<R>(feeds: &mut [Feed<R>]) -> Option<(ListingKey, R)> {
    let newest = feeds.iter_mut().max_by_key(|feed| feed.ready.front().map(|(key, _)| key.clone()));
    newest?.ready.pop_front()
}

impl<R> Found<R> {
    /// Ends the search. Takes the records that no unread record can precede.
    fn stop(&mut self, feeds: Vec<Feed<R>>, day: Date, limit: usize) {
        let end_of_day = format!("{day}T23:59:59.999999999Z");
        let dry = feeds.iter().filter(|feed| feed.is_dry());
        let ends = dry.map(|feed| feed.next.as_ref().map_or(&end_of_day, |end| &end.started_at));
        let end = ends.max().unwrap_or(&end_of_day).clone();
        let ready = feeds.into_iter().flat_map(|feed| feed.ready);
        let mut ready: Vec<_> = ready.filter(|(key, _)| key.started_at > end).collect();
        ready.sort_by(|(a, _), (b, _)| b.cmp(a));
        let left = limit - self.records.len();
        let last = ready.get(left - 1).map(|(key, _)| Cursor::after(key));
        self.is_cut = last.is_none();
        self.next = Some(last.unwrap_or_else(|| Cursor::at(&end)));
        self.records.extend(ready.into_iter().take(left).map(|(_, record)| record));
    }
}

#[cfg(test)]
mod tests;
