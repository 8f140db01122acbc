//! Prints what was found in the source of a batch, as text or as JSON.

use std::collections::BTreeSet;
use std::io::Write;

use bcce_core::batch::Mode;
use bcce_core::batch::bulk::{MIN_RECORDS, fit};
use bcce_core::batch::item::Rejected;
use bcce_core::config::budgets::Scope;
use bcce_core::config::configuration::Configuration;
use bcce_core::run::plan::estimate::Estimate;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::Args;
use super::origin::Origin;
use super::survey::Survey;
use crate::estimate::Estimated;
use crate::exit::{Failure, Outcome};
use crate::figures;
use crate::paint::one_line;

/// The results of reading a source, with all that is needed to print them.
pub struct Report<'a> {
    pub args: &'a Args,
    pub origin: &'a Origin,
    pub survey: &'a Survey,
    pub found: &'a Configuration,
    /// The region of the stack.
    pub region: &'a str,
}

impl Report<'_> {
    /// Checks that there are items to run.
    ///
    /// # Errors
    /// The source has no items, or all of them are rejected.
    pub fn check_items(&self) -> Outcome<()> {
        match (self.survey.items, self.survey.left()) {
            (0, _) => {
                let what = format!("{} has no items", self.origin);
                Err(Failure::usage(what, "nothing was sent"))
            }
            (items, 0) => {
                let items = figures::plural(usize::try_from(items).unwrap_or(usize::MAX), "item");
                let what = format!("{} has no valid items: {items}, all rejected", self.origin);
                Err(Failure::usage(
                    what,
                    "nothing was sent; correct the items, or map their fields to inputs with --map",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Prints the first rejected items, if there are any.
    pub fn print_rejected(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Survey { items, rejected, first_rejected, .. } = self.survey;
        if *rejected == 0 {
            return Ok(());
        }
        let (rejected_items, items) = (figures::count(*rejected), figures::count(*items));
        writeln!(out, "{rejected_items} of {items} items are rejected:")?;
        for one in first_rejected {
            writeln!(out, "  {}", self.reason(one))?;
        }
        match *rejected - first_rejected.len() as u64 {
            0 => Ok(()),
            more => writeln!(out, "  and {} more", figures::count(more)),
        }
    }

    /// Returns the reason for a rejected item: `line 7: <reason>`. An object is named by its key.
    fn reason(&self, rejected: &Rejected) -> String {
        let place = match (self.is_prefix(), &rejected.id) {
            (true, Some(key)) => key.clone(),
            _ => format!("line {}", rejected.line),
        };
        one_line(&format!("{place}: {}", rejected.error.message))
    }

    fn is_prefix(&self) -> bool {
        matches!(self.origin, Origin::Prefix(_))
    }

    /// Prints the items, the estimate and the worst case.
    pub fn dry_run(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.args.json {
            return crate::json::print(&self.as_json(), out);
        }
        let survey = self.survey;
        let (left, workflow) = (figures::count(survey.left()), &self.args.workflow);
        writeln!(out, "{workflow} would run for {left} items from {}", self.origin)?;
        self.print_rejected(out)?;
        if let Some(longest) = &survey.longest {
            let place = match self.is_prefix() {
                true => one_line(&longest.id),
                false => format!("line {}", longest.line),
            };
            writeln!(out, "longest item: {place}, {} bytes", figures::count(longest.bytes))?;
        }
        self.estimated().print(out)?;
        writeln!(out, "{}", self.rule())
    }

    /// Checks the worst case against the limits of a batch.
    ///
    /// # Errors
    /// The worst case exceeds a limit.
    pub fn check_limits(&self) -> Outcome<()> {
        match &self.survey.unaffordable {
            None => Ok(()),
            Some(fault) => Err(Failure::usage(fault.message.clone(), "nothing was sent")),
        }
    }

    /// Returns the estimate at the prices of the mode.
    fn estimated(&self) -> Estimated<'_> {
        Estimated {
            estimate: &self.survey.estimate,
            costs: self.costs(),
            unpriced: self.unpriced(),
            worst: self.survey.worst.clone(),
            what: "batch",
            limits: self.found.limits(&Scope::Batch),
            prices_date: self.found.prices.date,
        }
    }

    /// Returns the lowest and the highest cost at the prices of the mode.
    fn costs(&self) -> (Decimal, Decimal) {
        let [one, other] = self.estimates();
        let least = one.cost_least_usd.min(other.cost_least_usd);
        (least.normalize(), one.cost_most_usd.max(other.cost_most_usd).normalize())
    }

    /// Returns the models that have no price for the mode.
    fn unpriced(&self) -> BTreeSet<&str> {
        self.estimates().iter().flat_map(|one| &one.unpriced).map(String::as_str).collect()
    }

    /// Returns the estimates that apply to the mode. Bulk jobs and calls differ in price and caching; `auto` may use
    /// either.
    fn estimates(&self) -> [&Estimate; 2] {
        let (on_demand, in_bulk) = (&self.survey.estimate, &self.survey.in_bulk);
        match (self.args.mode, self.bulk()) {
            (Mode::OnDemand, _) | (_, Err(_)) => [on_demand; 2],
            (Mode::Bulk, Ok(())) => [in_bulk; 2],
            (Mode::Auto, Ok(())) => [in_bulk, on_demand],
        }
    }

    /// Checks whether a bulk job accepts the items, by the plan of a typical item.
    ///
    /// # Errors
    /// The reason why it does not.
    fn bulk(&self) -> Result<(), String> {
        if self.survey.left() < MIN_RECORDS {
            return Err(format!("a bulk job needs at least {MIN_RECORDS} records"));
        }
        self.survey.plan.get().map_or(Ok(()), |plan| fit(plan, self.region).map(drop))
    }

    /// Explains how the estimate was made.
    fn rule(&self) -> String {
        let mut rule = self.estimated().rule();
        match (self.args.mode, self.bulk()) {
            (Mode::OnDemand, _) => {}
            (_, Err(why)) => {
                rule += &format!(" The batch would not run in bulk, but on demand: {why}.")
            }
            (Mode::Bulk, Ok(())) => {
                rule += " In bulk, a call costs the batch_factor of its model times that price, and nothing is cached. Both are included.";
            }
            (Mode::Auto, Ok(())) => {
                rule += " In bulk, a call costs the batch_factor of its model times that price, and nothing is cached. Both are \
                         included in the lowest value.";
            }
        }
        if self.is_prefix() {
            rule += " Objects were not read; each counts as text of its length.";
        }
        if self.survey.unestimated > 0 {
            rule +=
                &format!(" {} objects are not included.", figures::count(self.survey.unestimated));
        }
        rule
    }

    /// Returns what `--json` prints.
    pub fn as_json(&self) -> Value {
        let survey = self.survey;
        let reason = |one: &Rejected| json!({ "line": one.line, "id": one.id, "error": one.error });
        let mut found = json!({
            "workflow": self.args.workflow,
            "source": self.origin.to_string(),
            "items": survey.items,
            "rejected": survey.rejected,
            "first_rejected": survey.first_rejected.iter().map(reason).collect::<Vec<_>>(),
            "longest": survey.longest,
        });
        self.estimated().add_worst(&mut found);
        if self.args.dry_run {
            let mut estimate = self.estimated().json();
            estimate["items_without"] = json!(survey.unestimated);
            estimate["rule"] = json!(self.rule());
            found["estimate"] = estimate;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use bcce_core::batch::Location;
    use bcce_core::document::from_yaml;

    use super::*;
    use crate::cmd::batch::submit::survey::tests::{configuration, surveyed};
    use crate::cmd::batch::submit::tests::args;

    fn dry_run(args: &Args, survey: &Survey) -> String {
        let (mut out, found) = (Vec::new(), configuration());
        let origin = Origin::File(args.source.as_str().into());
        let report = Report { args, origin: &origin, survey, found: &found, region: "" };
        report.dry_run(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_dry_run_prints_the_items_the_wrong_ones_and_what_it_would_cost() {
        let survey = surveyed("{\"text\":\"a\"}\n{\"txt\":\"b\"}\n{\"text\":\"a longer one\"}\n");
        let text = dry_run(&args("a.jsonl"), &survey);
        let expected = [
            "explain would run for 2 items from a.jsonl\n1 of 3 items are rejected:\n  line 2: inputs.txt: ",
            "longest item: line 3, 23 bytes\n",
            "\ncalls:         2\n",
            "output tokens: 800 at most\n",
            "cost:          <$0.0001 to $0.0004\n",
            "worst case:    $0.0072 (no limit for a batch in budgets.yaml)\n",
            "an estimate at 4 bytes per token",
        ];
        for part in expected {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn a_name_of_a_field_forges_no_line() {
        let survey = surveyed("{\"text\":\"a\"}\n{\"x\\n  line 7: forged\":\"b\"}\n");
        let text = dry_run(&args("a.jsonl"), &survey);
        assert!(text.contains("line 7: forged"), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("  line 7")), "{text}");
    }

    #[test]
    fn a_key_of_an_object_forges_no_line() {
        let mut survey = surveyed("{\"text\":\"a\"}\n{}\n");
        survey.longest.as_mut().unwrap().id = "in/\ncost: forged".into();
        survey.first_rejected[0].id = Some("in/\n  line 7: forged".into());
        let (args, found) = (args("s3://bucket/in/"), configuration());
        let origin = Origin::Prefix(Location { bucket: "bucket".into(), key: "in/".into() });
        let report =
            Report { args: &args, origin: &origin, survey: &survey, found: &found, region: "" };
        let mut out = Vec::new();
        report.dry_run(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.matches("forged").count(), 2, "{out}");
        let forged = ["cost: forged", "  line 7"];
        assert!(!out.lines().any(|line| forged.iter().any(|one| line.starts_with(one))), "{out}");
    }

    #[test]
    fn a_batch_above_its_limit_is_not_sent() {
        let mut survey = surveyed("{\"text\":\"a\"}\n");
        let (args, mut found) = (args("a.jsonl"), configuration());
        let limit = "version: 1\nbudgets: { one-batch: { scope: batch, usd: \"0.0001\" } }\n";
        found.budgets = from_yaml(limit).finished().unwrap();
        survey.unaffordable = Some(found_too_dear(&survey, &found));
        let origin = Origin::File("a.jsonl".into());
        let report =
            Report { args: &args, origin: &origin, survey: &survey, found: &found, region: "" };
        let failure = report.check_limits().unwrap_err();
        assert!(failure.what.contains("the limit is $0.0001"), "{}", failure.what);
        let shown = report.estimated().worst();
        assert!(shown.ends_with("(limit of budgets.one-batch: $0.0001)"), "{shown}");
        let json = report.as_json();
        assert_eq!((&json["limit_usd"], &json["limit_tokens"]), (&json!("0.0001"), &Value::Null));
    }

    fn found_too_dear(survey: &Survey, found: &Configuration) -> bcce_core::base::error::Fault {
        survey.worst.check_batch(&found.limits(&Scope::Batch), survey.left()).into()
    }

    fn estimate(mode: Mode, lines: usize, region: &str) -> Value {
        let mut args = args("a.jsonl");
        (args.dry_run, args.mode) = (true, mode);
        let (survey, found) = (surveyed(&"{\"text\":\"a\"}\n".repeat(lines)), configuration());
        let origin = Origin::File("a.jsonl".into());
        let report =
            Report { args: &args, origin: &origin, survey: &survey, found: &found, region };
        report.as_json()["estimate"].clone()
    }

    #[test]
    fn bulk_costs_half_and_auto_from_half() {
        let usd = |value: &Value| value.as_str().unwrap().parse::<Decimal>().unwrap();
        let demanded = estimate(Mode::OnDemand, 100, "us-east-1");
        let bulk = estimate(Mode::Bulk, 100, "us-east-1");
        let auto = estimate(Mode::Auto, 100, "us-east-1");
        assert_eq!(usd(&bulk["cost_most_usd"]) * Decimal::TWO, usd(&demanded["cost_most_usd"]));
        assert_eq!(auto["cost_least_usd"], bulk["cost_least_usd"]);
        assert_eq!(auto["cost_most_usd"], demanded["cost_most_usd"]);
        assert!(
            bulk["rule"]
                .as_str()
                .unwrap()
                .contains("In bulk, a call costs the batch_factor of its model")
        );
    }

    #[test]
    fn a_job_that_caches_nothing_may_cost_more_than_calls_that_read_a_cache() {
        let mut survey = surveyed(&"{\"text\":\"a\"}\n".repeat(100));
        let usd = |cents| Decimal::new(cents, 2);
        let (on_demand, in_bulk) = (&mut survey.estimate, &mut survey.in_bulk);
        (on_demand.cost_least_usd, on_demand.cost_most_usd) = (usd(10), usd(90));
        (in_bulk.cost_least_usd, in_bulk.cost_most_usd) = (usd(20), usd(45));
        in_bulk.unpriced.insert("x".into());
        let (origin, found) = (Origin::File("a.jsonl".into()), configuration());
        let costs = |mode| {
            let args = Args { mode, ..args("a.jsonl") };
            let (origin, survey, found) = (&origin, &survey, &found);
            let report = Report { args: &args, origin, survey, found, region: "us-east-1" };
            (report.costs(), report.unpriced().len())
        };
        assert_eq!(costs(Mode::OnDemand), ((usd(10), usd(90)), 0));
        assert_eq!(costs(Mode::Bulk), ((usd(20), usd(45)), 1));
        assert_eq!(costs(Mode::Auto), ((usd(10), usd(90)), 1));
    }

    #[test]
    fn what_no_job_takes_costs_what_it_costs_on_demand_and_says_why() {
        let demanded = estimate(Mode::OnDemand, 99, "us-east-1");
        for (lines, region, why) in [
            (99, "us-east-1", "on demand: a bulk job needs at least 100 records"),
            (100, "eu-west-1", "on demand: no target of haiku can run a bulk job"),
        ] {
            let bulk = estimate(Mode::Bulk, lines, region);
            assert!(bulk["rule"].as_str().unwrap().contains(why), "{bulk}");
            let demanded = estimate(Mode::OnDemand, lines, region);
            assert_eq!(bulk["cost_most_usd"], demanded["cost_most_usd"]);
        }
        assert!(!demanded["rule"].as_str().unwrap().contains("bulk"));
    }

    #[test]
    fn many_rejected_items_are_counted_and_nothing_left_is_no_batch() {
        let survey = surveyed(&"{}\n".repeat(25));
        let (args, found) = (args("a.jsonl"), configuration());
        let origin = Origin::File("a.jsonl".into());
        let report =
            Report { args: &args, origin: &origin, survey: &survey, found: &found, region: "" };
        let mut out = Vec::new();
        report.print_rejected(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with("  line 20: inputs.text: is required\n  and 5 more\n"), "{out}");
        let failure = report.check_items().unwrap_err();
        assert!(failure.what.contains("25 items, all rejected"), "{}", failure.what);
        let nothing = surveyed("\n\n");
        let report = Report { survey: &nothing, ..report };
        assert_eq!(report.check_items().unwrap_err().what, "a.jsonl has no items");
    }
}
