use super::*;
use crate::metrics::samples::selected;
use crate::paint::render;

#[test]
fn percentiles_are_shown_by_target_with_their_error() {
    let selected = selected(Dimension::Target);
    let lines = text(&selected, &answered(&selected));
    let shown: String = lines.iter().map(|line| render(line, false, usize::MAX) + "\n").collect();
    assert_eq!(shown, include_str!("latency.txt"));
}

#[test]
fn a_target_without_a_first_token_has_none() {
    let selected = selected(Dimension::Target);
    let report = as_json(&selected, &answered(&selected));
    let sonnet = &report["groups"][1];
    assert_eq!(
        sonnet["first_token_ms"],
        json!({ "count": 0, "p50": null, "p90": null, "p99": null })
    );
    assert_eq!(
        (&sonnet["answer_ms"]["count"], &report["max_relative_error"]),
        (&json!(2), &json!(0.0625))
    );
}

#[test]
fn calls_without_an_answer_are_no_group() {
    let mut selected = selected(Dimension::Target);
    selected.days.iter_mut().flat_map(|day| &mut day.calls).for_each(|calls| {
        calls.usage.detail.answer = Histogram::default();
    });
    let lines = text(&selected, &answered(&selected));
    assert_eq!(render(&lines[2], false, usize::MAX), "There were no answers.");
}
