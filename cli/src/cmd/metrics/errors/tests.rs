use super::*;
use crate::metrics::samples::selected;
use crate::paint::render;

fn shown(by: Dimension) -> String {
    let selected = selected(by);
    let lines = text(&selected, &counts(&selected));
    lines.iter().map(|line| render(line, false, usize::MAX) + "\n").collect()
}

#[test]
fn errors_of_calls_and_runs_are_counted_by_name() {
    assert_eq!(shown(Dimension::Error), include_str!("by_name.txt"));
}

#[test]
fn errors_are_counted_by_name_within_each_group() {
    assert_eq!(shown(Dimension::Day), include_str!("by_day.txt"));
}

#[test]
fn the_runs_of_a_target_are_unknown() {
    let selected = selected(Dimension::Target);
    let report = as_json(&selected, &counts(&selected));
    let expected = json!({
        "target": "us-east-1 us.anthropic.claude-sonnet-5-5",
        "error": "Bcce.TargetThrottled",
        "calls": 3,
        "runs": null,
    });
    assert_eq!(report["groups"][0], expected);
}
