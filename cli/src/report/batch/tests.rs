use bcce_core::base::json::add_line;
use bcce_core::base::platform::Charge;
use bcce_core::batch::reference::Place;
use bcce_core::batch::{BatchProgress, Way};
use bcce_core::call::attempt::Totals;
use rust_decimal::Decimal;

use super::read::Basis;
use super::samples::{Made, Sample, rejected};
use super::*;
use crate::batch::json::as_json;
use crate::batch::samples::half_way;
use crate::figures;

const NO_TARGET: &str = "Bcce.NoTarget";

fn page(report: &Report) -> String {
    report.page("bcce batch report b --html b.html".into()).render()
}

/// Returns the text of a page without its tags, so that a sentence can be found in it.
fn text(page: &str) -> String {
    let body = page.split("<body>").nth(1).unwrap();
    body.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

fn mixed() -> Vec<Made<'static>> {
    let mut runs: Vec<Made<'_>> = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .zip(1..)
        .map(|(id, n)| Made::answered(id, n * 1_000, "0.0125"))
        .collect();
    runs[1].cost = None;
    runs[2].failed_calls = 1;
    runs[3].truncated = 2;
    runs.push(Made::failed("g", NO_TARGET, "step answer: every target failed"));
    runs.push(Made::failed("h", NO_TARGET, "step answer: every target failed"));
    runs
}

#[tokio::test]
async fn a_batch_that_is_over_says_what_became_of_its_items_and_why() {
    for way in [Way::Packed, Way::Executions] {
        let report =
            Sample::over(way, &mixed(), &[rejected(9, "inputs.text: is required")]).report().await;
        assert_eq!((report.basis, report.items.runs), (Basis::Whole, 8), "{way:?}");
        let text = text(&page(&report));
        for sentence in [
            "6 of 9 items answered.",
            "It took 8 m 00 s, and its tokens cost $0.0635 + unknown.",
            "2 failed, all of them with Bcce.NoTarget after Bcce.TargetThrottled in us-west-2.",
            "step answer: every target failed",
            "inputs.text: is required",
            "One of them is not a valid request, so it has no run.",
            "1 run succeeded although a call failed.",
            "One item has an answer that max_tokens cut.",
            "One item was rejected, because it is not a valid request.",
            "bcce runs explain explain-f",
            "The cost of one run is not fully known",
            "Read attempts in failures/.",
            "Times and costs are those of all 8 runs of this attempt.",
            "The manifest does not state what AWS itself takes.",
        ] {
            assert!(text.contains(sentence), "{way:?}: {sentence}\n{text}");
        }
    }
}

#[test]
fn the_first_sentence_says_after_which_calls_items_failed() {
    let after = |all: &[(&str, &str, u64)], error: &str| {
        let calls = all.iter().map(|(target, error, n)| (((*target).into(), (*error).into()), *n));
        summary::after(&calls.collect(), error).unwrap_or_default()
    };
    let (east, west) = (("us-east-1 m", "Bcce.TargetBroken", 1), ("us-west-2 m", NO_TARGET, 3));
    assert_eq!(after(&[west], NO_TARGET), " in us-west-2");
    assert_eq!(after(&[east], NO_TARGET), " after Bcce.TargetBroken in us-east-1");
    assert_eq!(after(&[east, west], "Bcce.Internal"), " mostly after Bcce.NoTarget in us-west-2");
    assert_eq!(after(&[], NO_TARGET), "");
}

#[tokio::test]
async fn the_numbers_are_those_of_the_status_as_json() {
    let mut runs = mixed();
    runs[1].cost = Some("0.1");
    let report = Sample::over(Way::Packed, &runs, &[rejected(9, "m")]).report().await;
    let json = as_json(&report.batch);
    let counts = &json["manifest"]["counts"];
    let shown = outcomes::shares(&report.batch);
    let number = |label: &str| {
        shown.iter().find(|share| share.label == label).map_or(0, |share| share.items)
    };
    assert_eq!(counts["succeeded"], number("answered"));
    assert_eq!(counts["failed"], number("failed"));
    assert_eq!(counts["rejected"], number("rejected as not valid"));
    assert_eq!(counts["items"], shown.iter().map(|share| share.items).sum::<u64>());
    let causes = failures::rows(&report);
    let errors = json["manifest"]["errors"].as_object().unwrap();
    for (error, items) in errors {
        let of = causes.iter().filter(|row| row.error == error).map(|row| row.items);
        assert_eq!(*items, of.sum::<u64>(), "{error}");
    }
    let cost =
        json["manifest"]["cost_usd"].as_str().or(json["manifest"]["totals"]["cost_usd"].as_str());
    let page = text(&page(&report));
    assert!(page.contains(&format!("cost of tokens${}", cost.unwrap())), "{cost:?}\n{page}");
}

#[tokio::test]
async fn a_batch_under_way_says_as_of_when_and_shows_the_sealed_parts() {
    let mut sample = Sample::under_way(&mixed());
    let progress = BatchProgress {
        succeeded: 4,
        failed: 2,
        cost_usd: Decimal::new(50, 3),
        errors: [(NO_TARGET.to_owned(), 2)].into(),
        ..BatchProgress::default()
    };
    let now = crate::batch::samples::STARTED + time::Duration::minutes(15);
    sample.batch.note_progress(progress, now);
    let report = sample.report().await;
    assert_eq!((report.basis, report.items.runs), (Basis::Parts { sealed: 1, of: 2 }, 4));
    let text = text(&page(&report));
    for sentence in [
        "6 of 497 items ended so far.",
        "As of 2026-11-01 12:15:00Z, it runs for 15 m 00 s",
        "Tokens cost $0.0500 so far.",
        "2 failed, all of them with Bcce.NoTarget.",
        "rejected with Bcce.InvalidRequest",
        "1 of 2 parts are sealed",
        "What AWS itself takes is known when the batch is sealed.",
        "Not sealed yet",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
    assert_eq!(
        as_json(&report.batch)["progress"]["succeeded"],
        outcomes::counts(&report.batch).succeeded
    );
}

#[tokio::test]
async fn a_batch_that_is_over_took_its_time_even_if_its_manifest_is_gone() {
    let mut sample = Sample::over(Way::Packed, &mixed(), &[]);
    sample.batch.manifest = None;
    let report = sample.report().await;
    assert_eq!((report.basis, report.items.runs), (Basis::Whole, 8));
    let text = text(&page(&report));
    for sentence in [
        "It took 8 m 00 s, and its tokens cost",
        "from start to end8 m 00 s",
        "for AWS itselfunknownthe manifest is gone",
        "What AWS itself takes is not known without the manifest.",
    ] {
        assert!(text.contains(sentence), "{sentence}\n{text}");
    }
    for sentence in ["so far", "it runs for", "under way", "since the start"] {
        assert!(!text.contains(sentence), "{sentence}\n{text}");
    }
}

#[tokio::test]
async fn a_batch_with_executions_under_way_has_counts_and_no_times() {
    let mut sample = Sample::under_way(&[]);
    sample.batch = half_way();
    let report = sample.report().await;
    assert_eq!(report.basis, Basis::Nothing);
    let page = report.page(String::new());
    let sections: Vec<&str> = page.sections.iter().map(|section| section.id).collect();
    assert_eq!(sections, ["items", "failures", "cost", "seal", "facts"]);
    assert_eq!(page.headline, "248 of 497 items ended so far.");
}

#[tokio::test]
async fn a_batch_whose_items_are_all_rejected_has_no_runs() {
    let bad =
        [rejected(1, "inputs.text: is required"), rejected(2, "inputs.text: must be a string")];
    let report = Sample::over(Way::Packed, &[], &bad).report().await;
    let page = report.page(String::new());
    assert_eq!(
        (page.headline.as_str(), page.tone),
        ("No item was answered.", crate::report::page::Tone::Bad)
    );
    let text = text(&page.render());
    assert!(
        text.contains("All 2 for the same reason: rejected with Bcce.InvalidRequest."),
        "{text}"
    );
    assert!(!text.contains("Items to look at") && !text.contains("NaN"));
}

#[tokio::test]
async fn a_batch_that_is_being_opened_has_a_page_too() {
    for (execution, headline) in [(None, "Not started yet."), (Some("RUNNING"), "Being opened.")] {
        let mut sample = Sample::under_way(&[]);
        sample.batch = Batch::new(sample.batch.reference.clone());
        sample.batch.execution = execution.map(str::to_owned);
        let page = sample.report().await.page(String::new());
        assert_eq!((page.headline.as_str(), page.numbers.len()), (headline, 0));
        assert!(page.render().contains("The items are not counted yet."));
    }
}

#[tokio::test]
async fn what_aws_takes_is_that_of_the_batch_and_of_its_runs() {
    let mut sample = Sample::over(Way::Packed, &mixed(), &[]);
    let manifest = sample.batch.manifest.as_mut().unwrap();
    manifest.sums.platform = [(Charge::Transitions, 1_000)].into_iter().collect();
    manifest.sums.totals = Totals::of([]);
    let report = sample.report().await;
    let aws = cost::platform(&report).unwrap();
    assert_eq!((aws.cell().as_str(), aws.is_whole), ("$0.0250", true));
    assert!(text(&page(&report)).contains("Tokens cost $0.0000, and AWS itself $0.0250."));
    let part = Report { basis: Basis::Sample { each: 7 }, ..report };
    assert_eq!(cost::platform(&part).unwrap().cell(), "$0.0250 + unknown");
    assert!(text(&page(&part)).contains("one in 7. The counts"));
}

#[tokio::test]
async fn runs_of_an_earlier_attempt_do_not_count() {
    let mut sample = Sample::over(Way::Executions, &mixed(), &[]);
    let mut later = sample.batch.record.clone().unwrap();
    later.started_at += time::Duration::seconds(1);
    sample.batch.note_record(Some(later));
    assert_eq!(sample.report().await.items.runs, 0);
}

/// The results of a retry are those of all items. Only the runs that it has started are read.
#[tokio::test]
async fn of_a_retry_the_manifests_of_earlier_runs_are_not_read() {
    let runs = mixed();
    for (to_run, basis, read) in
        [(2, Basis::Whole, vec!["c", "h"]), (20_000, Basis::Sample { each: 2 }, vec!["h"])]
    {
        let mut sample = Sample::over(Way::Executions, &runs, &[]);
        let batch = &mut sample.batch;
        batch.reference.attempt_no = 2;
        let record = batch.record.as_mut().unwrap();
        (record.attempt_no, record.to_run) = (2, to_run);
        let mut places = Vec::new();
        for n in [3, 8] {
            let place = Place { n, part: 1, at: 0, bytes: 0, attempt_no: 2 };
            add_line(&mut places, &place).unwrap();
        }
        let put = |key, body| sample.store.objects.borrow_mut().insert(key, body);
        put(sample.batch.reference.places_key(2), places);
        for run in runs.iter().filter(|run| !read.contains(&run.id)) {
            let key = format!("runs/default/{}/manifest-1.json", run.id);
            put(key, b"a manifest that is not read".to_vec());
        }
        let report = sample.report().await;
        assert_eq!((report.basis, report.items.runs), (basis, read.len() as u64));
        assert_eq!(report.items.results, 8, "every result counts");
    }
}

#[tokio::test]
async fn of_many_executions_a_sample_is_read() {
    let mut sample = Sample::over(Way::Executions, &mixed(), &[]);
    let mut large = sample.batch.record.clone().unwrap();
    large.to_run = 20_000;
    sample.batch.note_record(Some(large));
    let report = sample.report().await;
    assert_eq!((report.basis, report.items.runs), (Basis::Sample { each: 2 }, 4));
    assert_eq!(report.items.results, 8, "every result counts");
    let text = text(&page(&report));
    let part = "These are the numbers of the 4 runs that were read.";
    for before in [
        "When the runs ended",
        "bcce runs explain explain-g",
        "or less, and one of a hundred more than 5.8 s.",
        "A call that answered",
        "The manifest does not state what AWS itself takes.",
        "The cost of a run",
        "One item has an answer that max_tokens cut.",
    ] {
        assert!(text.contains(&format!("{before}{part}")), "{before}\n{text}");
    }
    assert!(text.contains("Half of the runs that were read took"), "{text}");
}

#[tokio::test]
async fn costs_that_are_not_wholly_known_are_no_share_of_each_other() {
    let charged = |runs: &[Made<'_>]| {
        let mut sample = Sample::over(Way::Packed, runs, &[]);
        let manifest = sample.batch.manifest.as_mut().unwrap();
        manifest.sums.platform = [(Charge::Transitions, 1_000)].into_iter().collect();
        sample
    };
    let known = [Made::answered("a", 1_000, "0.1"), Made::answered("b", 2_000, "0.1")];
    let shares = ["which is 12 % of that", "12 % of the cost of tokens"];
    let whole = charged(&known).report().await;
    let page_of_whole = text(&page(&whole));
    assert!(page_of_whole.contains("$0.1000 for each run"), "{page_of_whole}");
    shares.iter().for_each(|share| assert!(page_of_whole.contains(share), "{page_of_whole}"));

    let sampled = Report { basis: Basis::Sample { each: 2 }, ..whole };
    let mut unknown = known.clone();
    unknown[1].cost = None;
    let unknown = charged(&unknown).report().await;
    for report in [&sampled, &unknown] {
        let text = text(&page(report));
        assert!(!text.contains("which is") && !text.contains("of the cost of tokens"), "{text}");
    }
    assert!(text(&page(&unknown)).contains("at least $0.0505 for each run"));
    let mut sampled = unknown;
    assert!(text(&page(&sampled)).contains("The cost of one run is not fully known"));
    sampled.basis = Basis::Sample { each: 2 };
    assert!(text(&page(&sampled)).contains("The cost of some runs is not fully known."));
}

#[tokio::test]
async fn a_batch_that_is_over_promises_nothing_for_its_end() {
    let mut sample = Sample::over(Way::Executions, &mixed(), &[]);
    sample.batch.manifest.as_mut().unwrap().results = None;
    let text_of_none = text(&page(&sample.report().await));
    let sample = Sample::over(Way::Packed, &mixed(), &[]);
    let second = sample.batch.reference.part_runs_key(2);
    sample.store.objects.borrow_mut().remove(&second);
    let text_of_half = text(&page(&sample.report().await));
    assert!(text_of_none.contains("No run was read"), "{text_of_none}");
    let half = "1 of 2 parts were found. Times, examples and lists are those of their 4 runs";
    assert!(text_of_half.contains(half), "{text_of_half}");
    assert!(text_of_half.contains("those of all items."), "{text_of_half}");
    for text in [text_of_none, text_of_half] {
        assert!(!text.contains("when the batch ends") && !text.contains("As of"), "{text}");
    }
}

/// The texts of a sender, a model or a service must stay texts.
#[tokio::test]
async fn no_text_becomes_markup() {
    const HOSTILE: &str = "</style><script>alert(1)</script>\" onload=\"x' <a href=javascript:x>";
    let runs = [Made::answered(HOSTILE, 1, "1"), Made::failed(HOSTILE, NO_TARGET, HOSTILE)];
    let mut sample = Sample::over(Way::Packed, &runs, &[rejected(3, HOSTILE)]);
    let batch = &mut sample.batch;
    batch.opened.as_mut().unwrap().because = vec![HOSTILE.into()];
    batch.opened.as_mut().unwrap().source.uri = HOSTILE.into();
    let mut record = batch.record.clone().unwrap();
    (record.tenant, record.workflow) = (HOSTILE.into(), HOSTILE.into());
    record.request_id = HOSTILE.into();
    batch.note_record(Some(record));
    let mut report = sample.report().await;
    report.environment = HOSTILE.into();
    let page = report.page(HOSTILE.into()).render();
    assert!(page.matches("&lt;script&gt;").count() > 10);
    for markup in ["<script", "<a href=javascript", "\" onload=\"", "href=\"javascript"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
}

#[test]
fn a_cost_far_below_a_cent_has_its_digits() {
    let mut items = Items::new(crate::batch::samples::STARTED, crate::batch::samples::STARTED);
    items.add_run(&Made::answered("a", 5, "0.0000031").manifest());
    let (from, to, runs) = items.cost_bars(3)[0];
    assert!(from <= Decimal::new(31, 7) && to >= Decimal::new(31, 7) && runs == 1);
    assert_eq!(figures::exact_usd(items.cost_at(50).unwrap().round_dp(7)), "$0.0000032");
}
