use super::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use time::Duration;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-03 12:00 UTC);

/// A record is its number. Each three records of a shard start together, a quarter of a second before the three with
/// smaller numbers.
const COUNT: u32 = 600;

fn started_at(n: u32) -> OffsetDateTime {
    NOW - Duration::milliseconds(250) * (n / 3) - Duration::hours(20) * (n / 200)
}

fn key(n: u32) -> ListingKey {
    let started_at = started_at(n).format(&Rfc3339).unwrap();
    ListingKey { started_at, pk: format!("run#{n}"), sk: "attempt#1".into() }
}

fn shard(day: Date, digit: char) -> String {
    format!("{day}#{digit}")
}

/// A ledger whose pages have at most `most` records, and which counts its reads.
struct Fake {
    most: usize,
    reads: Cell<usize>,
    days: RefCell<BTreeSet<String>>,
    /// The records by their shards, newest first.
    records: BTreeMap<String, Vec<(ListingKey, u32)>>,
}

impl Fake {
    fn new(most: usize) -> Self {
        let mut records: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for n in 0..COUNT {
            let digit = char::from_digit(n / 3 % 16, 16).unwrap();
            records.entry(shard(started_at(n).date(), digit)).or_default().push((key(n), n));
        }
        records.values_mut().for_each(|shard| shard.sort_by(|a, b| b.cmp(a)));
        Self { most, reads: Cell::new(0), days: RefCell::default(), records }
    }

    fn page(&self, listing: Listing) -> Page<u32> {
        assert!(listing.from <= listing.until, "DynamoDB refuses such bounds");
        self.reads.set(self.reads.get() + 1);
        self.days.borrow_mut().insert(listing.shard[..10].to_owned());
        let mut all = self.records.get(&listing.shard).cloned().unwrap_or_default();
        all.retain(|(key, _)| {
            let is_within = key.started_at >= listing.from && key.started_at <= listing.until;
            is_within && listing.after.as_ref().is_none_or(|after| key < after)
        });
        let most = self.most.min(listing.most as usize);
        let next = (all.len() > most).then(|| all[most - 1].0.clone());
        all.truncate(most);
        Page { read: all.len(), unreadable: vec![], next, records: all }
    }
}

fn all_days(limit: usize) -> Search {
    Search {
        since: datetime!(2026-10-30 0:00 UTC),
        before: None,
        today: NOW.date(),
        cursor: None,
        conditions: vec![],
        is_narrowed: true,
        limit,
        most_read: MOST_READ,
    }
}

async fn found(fake: &Fake, wanted: &Search, is_wanted: fn(&u32) -> bool) -> Found<u32> {
    search(wanted, shard, async |listing| Ok(fake.page(listing)), is_wanted).await.unwrap()
}

#[tokio::test]
async fn pages_of_a_list_have_every_record_once() {
    for (of_ledger, limit) in [(3, 7), (1_000, 100), (40, 201), (1, COUNT as usize)] {
        let (fake, mut wanted) = (Fake::new(of_ledger), all_days(limit));
        let mut seen = Vec::new();
        loop {
            let page = found(&fake, &wanted, |_| true).await;
            assert!(page.records.len() <= limit);
            seen.extend(page.records);
            match page.next {
                Some(next) => wanted.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), COUNT as usize, "{of_ledger} {limit}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), COUNT as usize);
        // Only within a second is the order of the texts another one than that of the times.
        assert!(
            seen.windows(2)
                .all(|pair| started_at(pair[1]) - started_at(pair[0]) < Duration::SECOND)
        );
    }
}

#[tokio::test]
async fn a_rare_record_is_found_behind_more_than_a_page_of_others() {
    let rare = |n: &u32| *n == 590;
    assert_eq!(found(&Fake::new(5), &all_days(20), rare).await.records, [590]);
}

#[tokio::test]
async fn no_further_day_is_read_once_enough_is_found() {
    let fake = Fake::new(1_000);
    let few = Search { is_narrowed: false, ..all_days(2) };
    let page = found(&fake, &few, |_| true).await;
    assert_eq!(page.records.len(), 2);
    assert_eq!(fake.days.into_inner(), BTreeSet::from(["2026-11-03".to_owned()]));
}

#[tokio::test]
async fn the_times_select_to_the_instant() {
    let wanted = Search { since: started_at(35), before: Some(started_at(27)), ..all_days(20) };
    let mut records = found(&Fake::new(1_000), &wanted, |_| true).await.records;
    records.sort();
    assert_eq!(records, [30, 31, 32, 33, 34, 35]);
}

/// A search that reads too many records ends with a cursor, from which the next one goes on.
#[tokio::test]
async fn a_search_that_is_cut_goes_on_from_its_cursor() {
    let (fake, mut wanted) = (Fake::new(10), Search { most_read: 100, ..all_days(1_000) });
    let (mut seen, mut cuts) = (Vec::new(), 0);
    loop {
        let page = found(&fake, &wanted, |n| n % 2 == 1).await;
        seen.extend(page.records);
        cuts += usize::from(page.is_cut);
        assert_eq!(page.is_cut, page.next.is_some());
        match page.next {
            Some(next) => wanted.cursor = Some(next),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, (0..COUNT).filter(|n| n % 2 == 1).collect::<Vec<_>>());
    assert!(cuts > 2, "{cuts}");
}

#[tokio::test]
async fn a_cursor_before_all_times_leaves_nothing_to_read() {
    let cursor = Some(Cursor::at("2026-11-03T10:00:00Z"));
    let wanted = Search { since: datetime!(2026-11-03 11:00 UTC), cursor, ..all_days(20) };
    let fake = Fake::new(10);
    let page = found(&fake, &wanted, |_| true).await;
    assert_eq!((page.records.len(), page.next, fake.reads.get()), (0, None, 0));
}
