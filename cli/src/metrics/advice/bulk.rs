//! Compares batches that ran on demand with the price of bulk jobs.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::batch::mode::{self, Asked};
use bcce_core::batch::{BatchSpec, Intake, Item, Mode, StoredBatch};
use bcce_core::config::configuration::Configuration;
use bcce_core::config::pricing::Tier;
use bcce_core::run::manifest::StepUsage;
use bcce_core::run::plan::Plan;
use rust_decimal::Decimal;
use serde_json::json;
use time::OffsetDateTime;

use crate::figures::{count, usd};
use crate::metrics::advice::LEAST_USD;
use crate::metrics::advice::finding::{Change, Finding, Kind};
use crate::metrics::advice::measured::MeasuredBatch;

/// A batch that ran on demand, as it is stored.
#[derive(Clone, Debug)]
pub struct Ran<'a> {
    pub batch: &'a StoredBatch,
    /// An item that stands for all of them.
    pub item: &'a Item,
    /// The number of items that ran.
    pub items: u64,
    pub started_at: OffsetDateTime,
    /// The usage that the manifests of its parts state.
    pub usage: &'a [StepUsage],
}

impl Ran<'_> {
    /// Compares the batch with the price of bulk jobs. Returns `None` if it could not have run in bulk with the mode
    /// `auto` and the documents as they are now.
    pub fn measured(&self, configuration: &Configuration, region: &str) -> Option<MeasuredBatch> {
        let target = self.target_in_bulk(configuration, region)?;
        let mut measured = MeasuredBatch {
            workflow: self.batch.workflow.clone(),
            batch_id: self.batch.reference().batch_id,
            items: self.items,
            usd: Decimal::ZERO,
            usd_in_bulk: Decimal::ZERO,
        };
        for usage in self.usage {
            if let Some((cost, in_bulk)) = costs(usage, &target, configuration) {
                measured.usd += cost;
                measured.usd_in_bulk += in_bulk;
            }
        }
        Some(measured)
    }

    /// Returns the target of the bulk jobs, by the choice that opening a batch makes.
    fn target_in_bulk(&self, configuration: &Configuration, region: &str) -> Option<Target> {
        let batch = self.batch;
        if batch.batch.mode != Mode::OnDemand {
            return None;
        }
        let spec = BatchSpec { mode: Mode::Auto, ..batch.batch.clone() };
        let plan = self.plan(configuration);
        let chosen = mode::choose(&Asked {
            spec: &spec,
            items: self.items,
            plan: Some(&plan),
            region,
            now: self.started_at,
        });
        chosen.bulk.map(|bulk| bulk.target)
    }

    /// Returns the plan of the item. The text of an object is not read: a sample stands for it.
    fn plan(&self, configuration: &Configuration) -> Result<Plan, Fault> {
        let intake = Intake::new(self.batch, configuration);
        match self.item.object {
            Some(_) => intake.plan_with(self.item.clone(), "x"),
            None => intake.plan(self.item),
        }
    }
}

/// Returns the known cost of calls, and what they would have cost as records of bulk jobs at the price of their day.
/// Returns `None` for calls that bulk jobs would have made at another price: to another model, in another tier, or
/// without a price.
fn costs(
    usage: &StepUsage,
    target: &Target,
    configuration: &Configuration,
) -> Option<(Decimal, Decimal)> {
    let (line, detail) = (&usage.line, &usage.detail);
    if usage.tier != Tier::Default.name() || line.model_id != target.model_id {
        return None;
    }
    let resolved = configuration.profiles.resolve(&line.region, &line.model_id);
    let rows = configuration.prices.of(resolved)?;
    let factor = rows.on(usage.day)?.batch_factor?;
    let cost = line.totals.known_cost();
    // Bulk jobs use no cache: all tokens of the prompt are input.
    let without_cache = cost + detail.cache_saved_usd - detail.cache_extra_usd;
    Some((cost, without_cache * factor))
}

/// Returns advice for each workflow whose batches would have cost less in bulk.
pub fn findings(batches: &[MeasuredBatch]) -> Vec<Finding> {
    let mut by_workflow: BTreeMap<&str, Vec<&MeasuredBatch>> = BTreeMap::new();
    for batch in batches {
        by_workflow.entry(&batch.workflow).or_default().push(batch);
    }
    by_workflow.into_iter().filter_map(|(workflow, batches)| finding(workflow, &batches)).collect()
}

fn finding(workflow: &str, batches: &[&MeasuredBatch]) -> Option<Finding> {
    let sum = |amount: fn(&MeasuredBatch) -> Decimal| -> Decimal {
        batches.iter().map(|batch| amount(batch)).sum()
    };
    let (cost, in_bulk) = (sum(|batch| batch.usd), sum(|batch| batch.usd_in_bulk));
    let saved = cost - in_bulk;
    let items: u64 = batches.iter().map(|batch| batch.items).sum();
    let ids: Vec<&str> = batches.iter().map(|batch| batch.batch_id.as_str()).collect();
    let (of, items_text) = (plural_batches(batches.len()), count(items));
    (saved >= LEAST_USD).then(|| Finding {
        kind: Kind::Bulk,
        title: format!("{of} of {workflow} ran on demand and could have run in bulk"),
        about: json!({ "workflow": workflow }),
        measured: vec![format!("{of} of {items_text} items cost {} on demand.", usd(cost))],
        figures: json!({
            "batches": ids,
            "items": items,
            "on_demand_usd": cost.normalize(),
            "in_bulk_usd": in_bulk.normalize(),
        }),
        matters: vec![
            format!("In bulk the cost would have been {}, at the prices of those days.", usd(in_bulk)),
            "The answers of a bulk job come within a day.".to_owned(),
        ],
        change: Change {
            document: "the message of the batch".to_owned(),
            key: "batch.mode".to_owned(),
            from: json!(Mode::OnDemand),
            to: json!(Mode::Auto),
            text: "if the answers may take a day, set batch.mode to auto in the message of the batch, or send it with \
                   `bcce batch submit --mode auto`"
                .to_owned(),
        },
        usd: Some(saved),
        weight: 0,
    })
}

/// Formats a number of batches: `1 batch`, `2 batches`.
fn plural_batches(batches: usize) -> String {
    match batches {
        1 => "1 batch".to_owned(),
        many => format!("{many} batches"),
    }
}

#[cfg(test)]
mod tests;
