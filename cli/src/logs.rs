//! Reads the log lines of a run. Each function has a log group, and this module merges what is found in them in order of
//! time. It holds one page of each group in memory.

pub mod line; // selects and prints a line

use std::collections::{BTreeSet, VecDeque};

use bcce_aws::logs::{LogLine, LogPage};
use bcce_core::base::error::Fault;
use futures::StreamExt;
use futures::stream::iter;

use crate::exit::Outcome;

/// All functions of the stack, in the order in which a run and then a batch pass through them.
pub const FUNCTIONS: [&str; 19] = [
    "webhook",
    "dispatch",
    "prepare",
    "failover-router",
    "invoke",
    "persist-artifact",
    "emit-metrics",
    "open-batch",
    "run-part",
    "open-item",
    "render-part",
    "bulk-job",
    "take-part",
    "choose-leftovers",
    "collect-part",
    "close-batch",
    "watch-budgets",
    "canary",
    "sweep",
];

/// The number of groups that are read at the same time. CloudWatch Logs allows five reads per second in some regions.
const AT_A_TIME: usize = 3;

/// A selection of lines: those of one function that contain a text.
#[derive(Clone, Debug)]
pub struct Source {
    pub function: &'static str,
    pub term: String,
}

/// Returns the sources of the lines that contain one of `terms`, of all functions.
pub fn sources(terms: &[String]) -> Vec<Source> {
    let of = |function| terms.iter().map(move |term| Source { function, term: term.clone() });
    FUNCTIONS.into_iter().flat_map(of).collect()
}

/// The result of [`merge`].
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The functions whose log groups do not exist.
    pub missing: BTreeSet<&'static str>,
    /// True if there may be further lines.
    pub is_cut: bool,
}

/// Passes the lines of all sources to `take`, oldest first, until it returns `false`. `page` reads a page of a source,
/// and returns `None` if the function has no log group.
///
/// # Errors
/// The lines cannot be read, or `take` fails.
pub async fn merge(
    sources: Vec<Source>,
    page: impl AsyncFn(&Source, Option<String>) -> Result<Option<LogPage>, Fault>,
    mut take: impl FnMut(&Source, LogLine) -> Outcome<bool>,
) -> Outcome<Merged> {
    let mut feeds: Vec<Feed> = sources.into_iter().map(Feed::new).collect();
    let is_cut = loop {
        let dry = feeds.iter_mut().filter(|feed| feed.is_dry());
        let filled = iter(dry.map(async |feed| feed.fill(&page).await)).buffer_unordered(AT_A_TIME);
        let filled: Vec<Result<(), Fault>> = filled.collect().await;
        let count = filled.len();
        filled.into_iter().collect::<Result<(), Fault>>()?;
        if count > 0 {
            continue;
        }
        // Lines of the same time keep the order of the functions, and those of one function their own order.
        let with_lines = feeds.iter_mut().filter(|feed| !feed.lines.is_empty());
        let oldest = with_lines.min_by_key(|feed| feed.lines.front().map(|line| line.at));
        let next = oldest.and_then(|feed| Some((&feed.source, feed.lines.pop_front()?)));
        let Some((source, line)) = next else { break false };
        if !take(source, line)? {
            break true;
        }
    };
    let missing = feeds.iter().filter(|feed| feed.is_missing).map(|feed| feed.source.function);
    Ok(Merged { missing: missing.collect(), is_cut })
}

/// The lines of a source that were read and not yet taken.
struct Feed {
    source: Source,
    lines: VecDeque<LogLine>,
    has_begun: bool,
    is_missing: bool,
    /// The token of the next page.
    next: Option<String>,
}

impl Feed {
    fn new(source: Source) -> Self {
        Self { source, lines: VecDeque::new(), has_begun: false, is_missing: false, next: None }
    }

    /// Returns true if a page must be read to know the next line.
    fn is_dry(&self) -> bool {
        self.lines.is_empty() && (!self.has_begun || self.next.is_some())
    }

    async fn fill(
        &mut self,
        page: &impl AsyncFn(&Source, Option<String>) -> Result<Option<LogPage>, Fault>,
    ) -> Result<(), Fault> {
        let read = page(&self.source, self.next.take()).await?;
        self.has_begun = true;
        self.is_missing = read.is_none();
        if let Some(LogPage { lines, next }) = read {
            self.lines.extend(lines);
            self.next = next;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::{Duration, OffsetDateTime};

    fn line(second: i64, text: &str) -> LogLine {
        LogLine { at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(second), text: text.into() }
    }

    /// Two groups with two pages each, of which one is empty, and a group that does not exist.
    async fn page(source: &Source, token: Option<String>) -> Result<Option<LogPage>, Fault> {
        let (lines, next) = match (source.function, token.as_deref()) {
            ("invoke", None) => (vec![line(1, "a"), line(4, "d")], Some("2")),
            ("invoke", Some("2")) => (vec![line(5, "e")], None),
            ("prepare", None) => (vec![], Some("2")),
            ("prepare", Some("2")) => (vec![line(2, "b"), line(3, "c")], None),
            _ => return Ok(None),
        };
        Ok(Some(LogPage { lines, next: next.map(str::to_owned) }))
    }

    async fn merged(most: usize) -> (String, Merged) {
        let sources = ["webhook", "invoke", "prepare"];
        let sources = sources.map(|function| Source { function, term: "r".into() }).to_vec();
        let mut text = String::new();
        let merged = merge(sources, page, |_, line| {
            if text.len() == most {
                return Ok(false);
            }
            text += &line.text;
            Ok(true)
        });
        let merged = merged.await.unwrap();
        (text, merged)
    }

    #[tokio::test]
    async fn lines_of_all_pages_come_in_order_of_time() {
        let missing = BTreeSet::from(["webhook"]);
        let whole = Merged { missing: missing.clone(), is_cut: false };
        assert_eq!(merged(9).await, ("abcde".into(), whole));
        let cut = Merged { missing, is_cut: true };
        assert_eq!(merged(2).await, ("ab".into(), cut));
    }

    #[test]
    fn every_function_of_the_repository_is_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../functions");
        let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let functions = folders.filter(|entry| entry.path().is_dir());
        let names = functions.map(|entry| entry.file_name().into_string().unwrap());
        let known = FUNCTIONS.map(str::to_owned);
        assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(known));
    }
}
