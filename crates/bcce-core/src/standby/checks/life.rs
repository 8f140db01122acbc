//! The life cycle of a model, and the age of its price.

use time::{Date, Duration, UtcOffset};

use super::{Found, Rules};
use crate::standby::facts::{ModelFacts, TargetFacts};
use crate::standby::finding::Check;

/// The time before the end of a model from which the target counts as dying. Bedrock may announce the end of a model 45
/// days before it, and a new model has to be tried first.
const NEAR_END: Duration = Duration::days(45);
/// The time by which the start of a price may lie before that of its model. Catalogs differ by some days.
const PRICE_MARGIN: Duration = Duration::days(7);

const REPLACE: &str =
    "replace the target in models.yaml by one of a newer model, then `bcce config push DIR`";

impl Rules<'_> {
    pub(super) fn check_model(&self, all: &mut Found<'_>, facts: &TargetFacts) {
        let target = &all.watched.target;
        match &facts.model {
            Some(Ok(model)) => self.check_life(all, model),
            Some(Err(reason)) => {
                let (model, region) = (self.model(target), &target.region);
                let cause = format!("{region} does not have the model {model}: {reason}");
                let remedy = format!(
                    "`aws bedrock list-foundation-models --by-provider anthropic --region {region}` lists those of the region; correct models.yaml, then `bcce config push DIR`"
                );
                all.fail(Check::Model, cause, remedy);
            }
            None => {}
        }
    }

    fn check_life(&self, all: &mut Found<'_>, model: &ModelFacts) {
        let remedy = || REPLACE.to_owned();
        let day = |at: time::OffsetDateTime| at.to_offset(UtcOffset::UTC).date();
        match model.ends_at {
            Some(end) if end <= self.now => {
                let cause = format!("the model reached the end of its life on {}", day(end));
                return all.fail(Check::EndOfLife, cause, remedy());
            }
            Some(end) if end - self.now <= NEAR_END => {
                let days = (end - self.now).whole_days();
                let cause = format!(
                    "the model reaches the end of its life on {}, in {days} days",
                    day(end)
                );
                all.fail(Check::EndOfLife, cause, remedy());
            }
            _ => {}
        }
        let is_legacy = model.is_legacy_at(self.now);
        let is_extended = model.extended_at.is_some_and(|at| at <= self.now);
        if is_legacy || is_extended {
            let ends = model.ends_at.map(|end| format!(", and ends on {}", day(end)));
            let dearer = if is_extended { " and costs more than the price file says" } else { "" };
            let cause = format!("the model is legacy{dearer}{}", ends.unwrap_or_default());
            all.warn(Check::Lifecycle, cause, remedy());
        }
    }

    pub(super) fn check_price(&self, all: &mut Found<'_>, facts: &TargetFacts) {
        let target = &all.watched.target;
        let today = self.now.to_offset(UtcOffset::UTC).date();
        let (model, resolved) =
            (self.model(target), self.profiles.resolve(&target.region, &target.model_id));
        let rows = self.prices.of(resolved);
        let Some(row) = rows.as_ref().and_then(|rows| rows.on(today)) else {
            let cause = format!(
                "prices.yaml has no price of {model} for {today}: calls are not priced, and budgets refuse them"
            );
            return all.fail(Check::Price, cause, import());
        };
        let started: Option<Date> = match &facts.model {
            Some(Ok(model)) => model.started_at.map(|at| at.to_offset(UtcOffset::UTC).date()),
            _ => None,
        };
        if let Some(started) = started.filter(|started| row.from + PRICE_MARGIN < *started) {
            let from = row.from;
            let cause = format!(
                "the price of {model} is from {from}, and the model is on Bedrock since {started}"
            );
            all.fail(Check::Price, cause, import());
        }
    }
}

fn import() -> String {
    "import the price: `bcce prices import CATALOG --file DIR/prices.yaml`, or add a row, then `bcce config push DIR`".to_owned()
}
