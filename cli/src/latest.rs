//! Records of the last days, newest first: a day is listed in shards.

use bcce_core::base::error::Fault;
use bcce_core::ledger::SHARDS;
use futures::future::try_join_all;
use time::Date;

use crate::exit::Outcome;

/// Records of one shard and day that are looked through for a filter: what fits one answer.
const LOOKED_THROUGH: u16 = 1_000;

/// Which records are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// From this day on, backwards.
    pub today: Date,
    pub days: u16,
    /// So many are enough.
    pub limit: u16,
    /// Only some of them are wanted.
    pub is_filtered: bool,
}

/// Records of the last days that are `wanted`, enough of the newest among them; not in order. `what` they are, for a
/// note; `listed`: the newest of a shard.
pub async fn search<R>(
    search: Search,
    what: &str,
    shard: impl Fn(Date, char) -> String,
    listed: impl AsyncFn(&str, i32) -> Result<Vec<R>, Fault>,
    wanted: impl Fn(&R) -> bool,
) -> Outcome<Vec<R>> {
    let Search { today, days, limit, is_filtered } = search;
    let most = if is_filtered { LOOKED_THROUGH } else { limit.min(LOOKED_THROUGH) };
    let (mut found, mut day) = (Vec::new(), today);
    for _ in 0..days {
        let shards: Vec<String> = SHARDS.chars().map(|digit| shard(day, digit)).collect();
        let shards = try_join_all(shards.iter().map(|shard| listed(shard, most.into()))).await?;
        if is_filtered && shards.iter().any(|shard| shard.len() >= LOOKED_THROUGH.into()) {
            crate::terminal::note(&format!(
                "note: {day} has more {what} than were looked through; older ones of that day may be missing"
            ));
        }
        found.extend(shards.into_iter().flatten().filter(|record| wanted(record)));
        match day.previous_day().filter(|_| found.len() < limit.into()) {
            Some(before) => day = before,
            None => break,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use time::macros::date;

    const TODAY: Search =
        Search { today: date!(2026 - 11 - 01), days: 3, limit: 20, is_filtered: false };

    /// Two records on each day; what was asked for.
    async fn searched(of: Search, is_wanted: fn(&u8) -> bool) -> (Vec<u8>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let listed = async |shard: &str, most: i32| {
            asked.borrow_mut().push(format!("{shard} {most}"));
            Ok(if shard.ends_with('7') { vec![1, 2] } else { vec![] })
        };
        let shard = |day: Date, digit: char| format!("{day}#{digit}");
        let found = search(of, "records", shard, listed, is_wanted).await.unwrap();
        (found, asked.into_inner())
    }

    #[tokio::test]
    async fn days_are_gone_back_until_enough_is_found() {
        let (found, asked) = searched(TODAY, |_| true).await;
        assert_eq!((found.len(), asked.len()), (6, 3 * SHARDS.len()));
        assert_eq!(asked[0], "2026-11-01#0 20");
        let (found, asked) = searched(Search { limit: 2, ..TODAY }, |_| true).await;
        assert_eq!((found, asked.len()), (vec![1, 2], SHARDS.len()));
    }

    #[tokio::test]
    async fn for_a_filter_more_is_looked_through() {
        let (found, asked) = searched(Search { is_filtered: true, ..TODAY }, |n| *n == 2).await;
        assert_eq!((found, asked[0].as_str()), (vec![2; 3], "2026-11-01#0 1000"));
    }
}
