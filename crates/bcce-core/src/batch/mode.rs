//! Chooses the mode of a batch, with the reason. A batch that asks for a mode that is not possible is not refused: it
//! runs on demand.

use time::{Duration, OffsetDateTime};

use crate::base::error::Fault;
use crate::batch::bulk::{LONGEST_TIMEOUT, MIN_RECORDS, fit};
use crate::batch::manifest::BulkMode;
use crate::batch::message::{BatchSpec, Mode};
use crate::run::plan::Plan;

/// The assumed time that a run of one call takes on demand, in seconds. It is not measured for the batch.
const SECONDS_PER_ITEM: u64 = 10;
/// The shortest time before a deadline that is reserved to run leftovers on demand.
const LEAST_RESERVE: Duration = Duration::minutes(15);
/// The shortest time for which a job is started. The service promises nothing below a day, but a job can be over within
/// minutes.
const LEAST_FOR_A_JOB: Duration = Duration::hours(1);
/// The time for jobs if there is no deadline: a day, which becomes the job's timeout, and an hour for the service to
/// apply it.
const WITHOUT_DEADLINE: Duration = Duration::hours(24 + 1);
/// The assumed time that a job takes to stop.
const TO_STOP: Duration = Duration::minutes(10);
/// The time to collect the answers of a number of items: the seconds for a part of 500 items, and the items of the five
/// parts that are collected at a time.
const TAKING: (u64, u64) = (30, 500 * 5);

/// The facts that the choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub spec: &'a BatchSpec,
    /// The number of items to run.
    pub items: u64,
    /// The plan of an item that represents all of them, or the reason why it was refused. For objects, the plan has a
    /// sample text.
    pub plan: Option<&'a Result<Plan, Fault>>,
    /// The region of the stack.
    pub region: &'a str,
    pub now: OffsetDateTime,
}

/// The chosen mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub mode: Mode,
    /// The reasons for the mode.
    pub because: Vec<String>,
    /// The target and cut-off, if the mode is `Bulk`.
    pub bulk: Option<BulkMode>,
}

/// Chooses the mode of a batch.
pub fn choose(asked: &Asked<'_>) -> Chosen {
    let on_demand =
        |because: String| Chosen { mode: Mode::OnDemand, because: vec![because], bulk: None };
    if asked.spec.mode == Mode::OnDemand {
        return on_demand("the batch asks for it".to_owned());
    }
    match in_bulk(asked) {
        Ok((bulk, because)) => {
            Chosen { mode: Mode::Bulk, because: vec![because], bulk: Some(bulk) }
        }
        Err(reason) => on_demand(format!("not in bulk: {reason}")),
    }
}

fn in_bulk(asked: &Asked<'_>) -> Result<(BulkMode, String), String> {
    let plan = match asked.plan {
        Some(Ok(plan)) => plan,
        Some(Err(fault)) => return Err(format!("its items cannot be planned: {}", fault.message)),
        None => return Err("none of its items can be planned".to_owned()),
    };
    let target = fit(plan, asked.region)?.target.clone();
    let (cut_off, because) = cut_off(asked)?;
    let items = asked.items;
    if items < MIN_RECORDS {
        return Err(format!(
            "a bulk job needs at least {MIN_RECORDS} records, there are {items} items"
        ));
    }
    Ok((BulkMode { target, cut_off }, because))
}

/// Returns the time at which jobs are stopped, with the reason for running in bulk.
fn cut_off(asked: &Asked<'_>) -> Result<(OffsetDateTime, String), String> {
    let spec = asked.spec;
    let now = asked.now;
    match (spec.mode, spec.deadline()) {
        (Mode::Auto, Some(deadline)) => {
            let cut_off = deadline - reserve(asked.items, spec.concurrency());
            let cut_off = cut_off.min(now + LONGEST_TIMEOUT);
            let left = (cut_off - now).max(Duration::ZERO).whole_minutes();
            if left < LEAST_FOR_A_JOB.whole_minutes() {
                Err(format!(
                    "the deadline leaves {left} minutes for a bulk job, which needs at least an hour"
                ))
            } else {
                Ok((cut_off, format!("the deadline leaves {left} minutes for a bulk job")))
            }
        }
        (_, Some(deadline)) if deadline <= now => Err("the deadline has passed".to_owned()),
        (_, Some(deadline)) => {
            // No job may take longer, so its batch must not wait longer.
            Ok((deadline.min(now + LONGEST_TIMEOUT), "the batch asks for it".to_owned()))
        }
        (Mode::Auto, None) => Ok((now + WITHOUT_DEADLINE, "there is no deadline".to_owned())),
        (_, None) => Ok((now + WITHOUT_DEADLINE, "the batch asks for it".to_owned())),
    }
}

/// Returns the time that is reserved before a deadline: to stop the jobs, to collect their answers, and then to run all
/// items on demand.
fn reserve(items: u64, concurrency: u32) -> Duration {
    let seconds = |of: u64, at_a_time: u64| {
        let seconds = items.saturating_mul(of) / at_a_time.max(1);
        Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
    };
    let on_demand = seconds(SECONDS_PER_ITEM, concurrency.into()).max(LEAST_RESERVE);
    TO_STOP + seconds(TAKING.0, TAKING.1) + on_demand
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::ErrorName;
    use crate::config::policy::Policy;
    use crate::run::plan::tests::of;
    use serde_json::json;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);
    const ONE: &str = "version: 1\nname: w\nsteps:\n- { id: a, model: haiku, prompt: p }\n";
    const TWO: &str = "version: 1\nname: w\nsteps:\n- { id: a, model: haiku, prompt: p }\n- { id: b, model: haiku, prompt: p }\n";

    fn chosen(spec: serde_json::Value, template: &str, items: u64) -> Chosen {
        let mut spec = spec;
        spec["source"] = json!("s3://b/a.jsonl");
        let spec: BatchSpec = serde_json::from_value(spec).unwrap();
        let plan = of(template, json!({ "workflow": "w" }), Policy::default());
        let plan = Some(&plan);
        choose(&Asked { spec: &spec, items, plan, region: "us-east-1", now: NOW })
    }

    fn refused(spec: serde_json::Value, template: &str, items: u64) -> String {
        let chosen = chosen(spec, template, items);
        assert_eq!((chosen.mode, chosen.bulk), (Mode::OnDemand, None));
        chosen.because.join("; ")
    }

    #[test]
    fn a_possible_mode_is_as_it_is_asked_for() {
        assert_eq!(refused(json!({}), ONE, 1_000), "the batch asks for it");
        for mode in ["bulk", "auto"] {
            let chosen = chosen(json!({ "mode": mode }), ONE, 100);
            let bulk = chosen.bulk.unwrap();
            assert_eq!((chosen.mode, bulk.cut_off - NOW), (Mode::Bulk, Duration::hours(25)));
            assert_eq!(bulk.target.region, "us-east-1");
        }
    }

    #[test]
    fn a_batch_whose_mode_is_impossible_runs_on_demand_with_the_reason() {
        for mode in ["bulk", "auto"] {
            let reported = refused(json!({ "mode": mode }), TWO, 1_000);
            assert_eq!(
                reported,
                "not in bulk: the workflow has 2 steps; a bulk job needs exactly one"
            );
            let reported = refused(json!({ "mode": mode }), ONE, 99);
            assert_eq!(
                reported,
                "not in bulk: a bulk job needs at least 100 records, there are 99 items"
            );
        }
        let spec = BatchSpec { mode: Mode::Bulk, ..BatchSpec::default() };
        let asked = |plan| Asked { spec: &spec, items: 100, plan, region: "us-east-1", now: NOW };
        let fault = Err(Fault::new(ErrorName::InvalidRequest, "inputs.n: must be a number"));
        let reported = choose(&asked(Some(&fault))).because;
        assert_eq!(
            reported,
            ["not in bulk: its items cannot be planned: inputs.n: must be a number"]
        );
        assert_eq!(choose(&asked(None)).because, ["not in bulk: none of its items can be planned"]);
    }

    #[test]
    fn a_deadline_keeps_back_what_all_items_take_on_demand() {
        let auto = |deadline: &str| json!({ "mode": "auto", "deadline": deadline });
        // 1,000 items of 10 s, 20 at a time, take 500 s, so the reserve is a quarter of an hour. Stopping takes ten
        // minutes, and collecting takes 12 s.
        let near = chosen(auto("2026-11-01T13:25:12Z"), ONE, 1_000);
        assert_eq!(near.bulk.unwrap().cut_off, datetime!(2026-11-01 13:00 UTC));
        assert_eq!(near.because, ["the deadline leaves 60 minutes for a bulk job"]);
        let reported = refused(auto("2026-11-01T13:25:11Z"), ONE, 1_000);
        assert_eq!(
            reported,
            "not in bulk: the deadline leaves 59 minutes for a bulk job, which needs at least an hour"
        );
        // The reserve for 100,000 items is 14 hours, 23 minutes and 20 s.
        assert!(refused(auto("2026-11-02T02:30:00Z"), ONE, 100_000).contains("leaves 6 minutes"));
        assert!(chosen(auto("2026-11-02T03:24:00Z"), ONE, 100_000).bulk.is_some());
    }

    #[test]
    fn no_job_is_waited_for_longer_than_it_may_take() {
        for mode in ["bulk", "auto"] {
            let spec = json!({ "mode": mode, "deadline": "2026-12-01T12:00:00Z" });
            assert_eq!(chosen(spec, ONE, 100).bulk.unwrap().cut_off - NOW, Duration::days(7));
        }
    }

    #[test]
    fn in_bulk_the_deadline_itself_is_the_end() {
        let bulk = |deadline: &str| json!({ "mode": "bulk", "deadline": deadline });
        let soon = chosen(bulk("2026-11-01T12:00:20Z"), ONE, 100).bulk.unwrap();
        assert_eq!(soon.cut_off, datetime!(2026-11-01 12:00:20 UTC));
        let reported = refused(bulk("2026-11-01T12:00:00Z"), ONE, 100);
        assert_eq!(reported, "not in bulk: the deadline has passed");
    }
}
