//! Usage and costs of a period: reads the counters of the ledger, selects and sums them, and prints them.

pub mod advice; // advice from measured usage
pub mod dimension; // the dimensions that usage is grouped and filtered by
pub mod groups; // sums over groups
pub mod notes; // the lines below a table: what is in the sums and what is not
pub mod period; // a period of whole days
pub mod platform; // what AWS charges besides tokens
pub mod print; // prints a report as text, JSON or CSV
#[cfg(test)]
pub mod samples;
pub mod table; // tables, bars and sparklines

use bcce_aws::dynamodb::Ledger;
use bcce_core::ledger::SHARDS;
use bcce_core::ledger::usage::{CountedCalls, CountedRuns, DayOfUsage};
use futures::stream::{StreamExt, TryStreamExt};

use crate::exit::{Failure, Outcome};
use crate::metrics::dimension::{Dimension, Filters};
use crate::metrics::period::{Period, Written};
use crate::metrics::platform::PlatformPrices;
use crate::stack::Stack;
use crate::world::World;

/// The number of shards that are read at the same time.
const AT_A_TIME: usize = 32;

/// The option that selects days.
#[derive(Clone, Debug, clap::Args)]
pub struct Days {
    /// Days to include, in UTC: a number such as 7d, today, yesterday, a month such as 2026-11, a day, or two days
    /// such as 2026-11-01..2026-11-15
    #[arg(long, default_value = "7d", value_parser = period::parse)]
    period: Written,
}

/// The options of the commands that group usage.
#[derive(Clone, Debug, clap::Args)]
pub struct Selection {
    #[command(flatten)]
    days: Days,
    // Not a comment of documentation, where <name> would be HTML.
    #[arg(
        long,
        value_parser = dimension::parse,
        help = "Group by workflow, model, region, target, tenant, day, step, tier or tag:<name>"
    )]
    by: Option<Dimension>,
    #[command(flatten)]
    filters: Filters,
    /// Print JSON, with exact amounts
    #[arg(long)]
    json: bool,
    /// Print CSV, with exact amounts
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
    Csv,
}

/// The figures that a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Cost,
    Usage,
}

/// The usage that a command has selected.
#[derive(Clone, Debug)]
pub struct Selected {
    pub environment: String,
    pub period: Period,
    pub by: Dimension,
    pub filters: Filters,
    pub form: Form,
    pub days: Vec<DayOfUsage>,
    /// The usage of the period before, if it is compared.
    pub before: Option<Vec<DayOfUsage>>,
    /// The prices of AWS besides tokens, if its costs are shown.
    pub platform: Option<PlatformPrices>,
}

impl Days {
    /// Returns the selected days, until today at most.
    ///
    /// # Errors
    /// The period starts after today.
    pub fn period(&self, world: &World) -> Outcome<Period> {
        self.period.until(world.now().date()).map_err(|cause| {
            let advice = "nothing was read; choose an earlier period";
            Failure::usage(format!("--period: {cause}"), advice)
        })
    }
}

impl Selection {
    /// Checks that the options select whole runs: the use of AWS besides tokens is not known by call.
    ///
    /// # Errors
    /// An option groups or filters by a property that only calls have.
    pub fn check_of_runs(&self) -> Outcome<()> {
        let by = self.by.iter().find(|by| !by.is_of_runs());
        let cause = match by {
            Some(by) => format!("--by {} cannot be used with --platform", by.name()),
            None if self.filters.select_calls() => {
                "--step, --model and --region cannot be used with --platform".to_owned()
            }
            None => return Ok(()),
        };
        let advice = "nothing was read; --platform needs runs: group and filter by workflow, tenant, day or tag:<name>";
        Err(Failure::usage(cause, advice))
    }

    /// Reads the usage of the period, grouped by `by` unless an option says otherwise. Also reads the period before, if
    /// it is compared.
    ///
    /// # Errors
    /// The period starts after today, no run has a tag that an option names, or the ledger cannot be read.
    pub async fn read(self, by: Dimension, compare: bool, world: &World) -> Outcome<Selected> {
        let period = self.days.period(world)?;
        let stack = Stack::find(world).await?;
        let days = usage_of(&stack.ledger, period).await?;
        let before = match compare {
            true => Some(usage_of(&stack.ledger, period.before()).await?),
            false => None,
        };
        let selected = Selected {
            environment: world.environment.clone(),
            period,
            by: self.by.unwrap_or(by),
            filters: self.filters,
            form: match (self.json, self.csv) {
                (true, _) => Form::Json,
                (_, true) => Form::Csv,
                _ => Form::Text,
            },
            days,
            before,
            platform: None,
        };
        selected.check_tags()?;
        Ok(selected)
    }
}

/// Reads the usage of each day of a period.
pub async fn usage_of(ledger: &Ledger, period: Period) -> Outcome<Vec<DayOfUsage>> {
    let shards = period.days().flat_map(|day| SHARDS.chars().map(move |shard| (day, shard)));
    let reads = shards.map(|(day, shard)| ledger.usage(day, shard));
    Ok(futures::stream::iter(reads).buffered(AT_A_TIME).try_collect().await?)
}

impl Selected {
    /// Returns all calls that are counted.
    pub fn calls(&self) -> impl Iterator<Item = &CountedCalls> {
        self.days.iter().flat_map(|day| &day.calls)
    }

    /// Returns all runs that are counted.
    pub fn runs(&self) -> impl Iterator<Item = &CountedRuns> {
        self.days.iter().flat_map(|day| &day.runs)
    }

    /// Returns the keys of the items that are not counters of this version, in the period and in the one before.
    pub fn unknown(&self) -> Vec<&String> {
        let days = self.days.iter().chain(self.before.iter().flatten());
        days.flat_map(|day| &day.unknown).collect()
    }

    /// Checks that each tag that an option names splits costs. A tag that does not would look like one that no run has.
    fn check_tags(&self) -> Outcome<()> {
        let by = match &self.by {
            Dimension::Tag(tag) => Some(tag.as_str()),
            _ => None,
        };
        let has = |tag: &str| {
            self.runs().any(|runs| runs.allocation.cost_tags.contains_key(tag))
                || self.calls().any(|calls| calls.allocation.cost_tags.contains_key(tag))
        };
        let is_empty = self.runs().next().is_none() && self.calls().next().is_none();
        match by.into_iter().chain(self.filters.tags()).find(|tag| !is_empty && !has(tag)) {
            None => Ok(()),
            Some(tag) => Err(Failure::usage(
                format!("no run of {} has the cost tag {tag}", self.period),
                "list the tag and its values in policy.yaml under `cost_tags`, and push it; only runs that start \
                 after that have it",
            )),
        }
    }
}
