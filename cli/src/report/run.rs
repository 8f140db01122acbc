//! The report of a run: where its time and its money went, and why. The functions do no IO.

mod decisions; // the decisions, calls and waits of each step
mod facts; // the names and times of the run, and commands that show more
mod money; // the cost by step, and what AWS took
mod steps; // the steps and what they need, as a drawing
mod spent; // what the time of a run was spent on
mod summary; // the headline, the first sentences and the numbers
mod timeline; // the steps and their calls, drawn to scale

use bcce_core::ledger::RunRecord;
use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::report::page::Page;
use crate::report::seal::Seal;
use crate::run::Run;
use crate::run::timeline::Execution;
use crate::run::view::explained::Account;

/// The data that a report is made of.
#[derive(Clone, Copy)]
pub struct Reported<'a> {
    pub run: &'a Run,
    /// The record of the latest run attempt.
    pub record: &'a RunRecord,
    pub account: Account<'a>,
    /// The time of the report.
    pub now: OffsetDateTime,
    /// The cost of AWS for the run besides tokens, in USD. `None` if no manifest states it.
    pub platform: Option<Decimal>,
    pub seal: &'a Seal,
    pub environment: &'a str,
    /// The command that wrote the report.
    pub command: &'a str,
}

impl<'a> Reported<'a> {
    /// Returns the page.
    pub fn page(&self) -> Page {
        let sections = [
            Some(timeline::section(self)),
            Some(money::section(self)),
            steps::section(self),
            Some(decisions::section(self)),
            Some(self.seal.section("run")),
            Some(facts::section(self)),
        ];
        Page {
            title: format!("{} · {}", self.record.run_id, self.record.status),
            kicker: format!("Report of a run of {}", self.record.workflow),
            headline: summary::headline(self),
            tone: summary::tone(self),
            error: summary::error(self),
            lead: summary::lead(self).into_iter().collect(),
            numbers: summary::numbers(self),
            sections: sections.into_iter().flatten().collect(),
            command: self.command.to_owned(),
            made_at: self.now,
        }
    }

    /// Returns the step executions of this run attempt, without those that an earlier one paid for.
    fn executions(&self) -> impl Iterator<Item = &'a Execution<'a>> {
        let attempt_no = self.run.reference.attempt_no;
        let earlier = move |e: &Execution<'_>| e.record.is_some_and(|r| r.attempt_no != attempt_no);
        self.account.executions.iter().filter(move |execution| !earlier(execution))
    }

    /// Returns the end of the run, or the time of the report if the run is under way. A clock that is behind makes the
    /// run no shorter than nothing.
    fn until(&self) -> OffsetDateTime {
        self.record.ended_at.unwrap_or(self.now).max(self.record.started_at)
    }

    fn is_over(&self) -> bool {
        self.record.ended_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::samples::{
        STARTED, answer, failed, failing_over, record, review, step_record, throttled,
    };
    use crate::run::timeline;
    use bcce_core::run::notification::RunStatus;
    use time::Duration;

    /// Renders the report of a run 4.5 seconds after its start.
    fn page(run: &Run, record: &RunRecord) -> String {
        let records = [record.clone()];
        let executions = run.plan.as_ref().map(|plan| timeline::of(run, plan, &records));
        let executions = executions.unwrap_or_default();
        let reported = Reported {
            run,
            record,
            account: Account { run, records: &records, executions: &executions, all: false },
            now: STARTED + Duration::milliseconds(4_500),
            platform: Some(Decimal::new(1, 4)),
            seal: &Seal::Open,
            environment: "prod",
            command: "bcce runs report r --html run.html",
        };
        reported.page().render()
    }

    fn over(status: RunStatus) -> RunRecord {
        let ended_at = Some(STARTED + Duration::milliseconds(3_000));
        RunRecord { ended_at, ..record(1, status).unwrap() }
    }

    #[test]
    fn a_run_that_failed_over_tells_where_its_time_and_money_went() {
        let mut run = failing_over();
        let record = over(RunStatus::Succeeded);
        run.note_record(Some(record.clone()));
        let page = page(&run, &record);
        for expected in [
            "Answered in 3.0 s.",
            "1 of 2 calls failed with Bcce.TargetThrottled in us-east-1. us-west-2 answered in the end.",
            "Claude was at work for 40 % of the time. Failures and waits took 40 ms.",
            "before the first step",
            "Tokens cost $0.00311. AWS itself adds $0.0001, 3 % of that.",
            "How the steps fit together",
            "5 steps in 3 waves.",
            "bcce --env prod runs explain code-review-",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        // The failed call began 900 ms after the start and took 40 ms of 3 s.
        assert!(page.contains(r#"class="failed" x="30%" width="1.333%""#), "{page}");
    }

    #[test]
    fn a_run_under_way_shows_what_has_ended() {
        let mut run = review(&["summarise"]);
        let record = record(1, RunStatus::Running).unwrap();
        run.note_record(Some(record.clone()));
        let page = page(&run, &record);
        for expected in
            ["Under way for 4.5 s.", "1 of 5 step executions ended so far.", "Not sealed yet"]
        {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    #[test]
    fn a_step_that_was_answered_does_not_speak_for_one_that_was_not() {
        let mut run = failing_over();
        let mut failure = step_record("tests", serde_json::json!([throttled()]));
        failure["status"] = "FAILED".into();
        failure["error"] = serde_json::json!({ "name": "Bcce.NoTarget", "message": "m" });
        let key = run.reference.failure_key("tests", None);
        run.absorb(&key, failure.to_string().as_bytes()).unwrap();
        let record = over(RunStatus::Failed);
        run.note_record(Some(record.clone()));
        let page = page(&run, &record);
        let expected = "us-west-2 answered 1 of these 2 step executions in the end.";
        assert!(page.contains(expected), "{page}");
    }

    /// A clock that is behind does not break the page.
    #[test]
    fn a_run_that_starts_in_the_future_took_no_time() {
        let mut run = review(&["summarise"]);
        let record = record(1, RunStatus::Running).unwrap();
        let record = RunRecord { started_at: STARTED + Duration::minutes(5), ..record };
        run.note_record(Some(record.clone()));
        assert!(page(&run, &record).contains("Under way for 0 ms."));
    }

    #[test]
    fn a_bulk_job_is_not_taken_for_work() {
        let mut run = review(&[]);
        let mut attempt = answer("us-east-1");
        attempt["kind"] = "bulk".into();
        let step_record = step_record("summarise", serde_json::json!([attempt]));
        let key = run.reference.step_key("summarise", None);
        run.absorb(&key, step_record.to_string().as_bytes()).unwrap();
        let record = over(RunStatus::Succeeded);
        run.note_record(Some(record.clone()));
        let page = page(&run, &record);
        for expected in ["Answered by a bulk job in us-east-1.", "The bulk job took 1.2 s."] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        assert!(!page.contains("Claude was at work"), "{page}");
    }

    #[test]
    fn a_failed_run_names_its_error_and_no_text_becomes_markup() {
        let hostile = "<script>alert(1)</script>";
        let mut run = failed();
        let record = RunRecord {
            error_name: Some("Bcce.NoTarget".into()),
            error_message: Some(hostile.into()),
            request_id: hostile.into(),
            workflow: hostile.into(),
            tags: [(hostile.to_owned(), hostile.to_owned())].into(),
            ..over(RunStatus::Failed)
        };
        run.note_record(Some(record.clone()));
        let page = page(&run, &record);
        for expected in ["Failed after 3.0 s.", "No other target was called."] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        assert!(
            page.contains("<p class=\"lead bad\">Bcce.NoTarget</p><p>&lt;script&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }
}
