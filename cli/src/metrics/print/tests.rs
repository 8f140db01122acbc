use super::*;
use crate::json::undocumented;
use crate::metrics::samples::{days, selected};
use bcce_core::ledger::usage::DayOfUsage;

/// Returns what the command prints. `width` is that of a terminal, if the output is one.
fn shown(selected: &Selected, view: View, width: Option<usize>) -> String {
    let lines = text(selected, view, width);
    lines.iter().map(|line| render(line, false, usize::MAX) + "\n").collect()
}

#[test]
fn costs_in_a_terminal_have_bars_and_a_sparkline() {
    let selected = selected(Dimension::Workflow);
    assert_eq!(shown(&selected, View::Cost, Some(120)), include_str!("cost_terminal.txt"));
}

#[test]
fn the_docs_show_what_the_command_prints() {
    let docs = include_str!("../../../../docs/costs.md");
    // The docs leave out the last line, about items of other programs.
    let printed = include_str!("cost_terminal.txt").lines().filter(|line| !line.contains("ledger"));
    let sample: Vec<&str> = printed.collect();
    assert!(docs.contains(&sample.join("\n")), "docs/costs.md has another table");
}

#[test]
fn costs_in_a_pipe_are_plain() {
    let selected = selected(Dimension::Workflow);
    assert_eq!(shown(&selected, View::Cost, None), include_str!("cost_pipe.txt"));
}

#[test]
fn days_are_in_their_order_and_none_is_left_out() {
    let selected = selected(Dimension::Day);
    assert_eq!(shown(&selected, View::Cost, Some(120)), include_str!("cost_by_day.txt"));
}

#[test]
fn costs_are_compared_with_the_period_before() {
    let mut before = days();
    before[0].calls[0].allocation.workflow = "summarise".into();
    let selected = Selected { before: Some(before), ..selected(Dimension::Workflow) };
    assert_eq!(shown(&selected, View::Cost, None), include_str!("cost_compared.txt"));
}

/// Returns the samples with the prices of AWS.
fn with_platform(by: Dimension) -> Selected {
    let prices = PlatformPrices::read(None).unwrap();
    Selected { platform: Some(prices), ..selected(by) }
}

#[test]
fn what_aws_charges_besides_tokens_has_a_column_and_a_table() {
    let selected = with_platform(Dimension::Workflow);
    assert_eq!(shown(&selected, View::Cost, Some(120)), include_str!("cost_platform.txt"));
    let docs = include_str!("../../../../docs/costs.md");
    let table = include_str!("cost_platform.txt");
    let table = &table[table.find("AWS without tokens").unwrap()..];
    assert!(docs.contains(table), "docs/costs.md has another table");
}

/// A run that an earlier version has sealed took something as well.
#[test]
fn runs_that_do_not_state_what_they_took_are_named() {
    let mut selected = with_platform(Dimension::Workflow);
    selected.days[0].runs[0].platform_runs -= 1;
    let text = shown(&selected, View::Cost, None);
    let note = "Not included: 1 run, whose manifest does not state its use of AWS.";
    assert!(text.contains(note), "{text}");
    assert!(text.contains("$0.0012 + unknown\nreview "), "{text}");
    assert!(
        !text.contains("of the known cost of tokens"),
        "a share of a part would mislead: {text}"
    );
    let json = Selected { form: Form::Json, ..selected.clone() };
    let report: Value = serde_json::from_str(&written(&json)).unwrap();
    let platform = &report["groups"][0]["platform"];
    assert_eq!((&platform["usd"], &platform["known_usd"]), (&Value::Null, &json!("0.001216")));
    // Without notes on tokens, one empty line precedes the table of AWS.
    selected.days = vec![DayOfUsage { runs: selected.days.remove(0).runs, ..Default::default() }];
    let text = shown(&selected, View::Cost, None);
    assert!(text.contains("\n\nAWS without tokens") && !text.contains("\n\n\n"), "{text}");
}

#[test]
fn csv_and_json_have_what_aws_charges_only_if_it_is_asked_for() {
    let csv = Selected { form: Form::Csv, ..with_platform(Dimension::Workflow) };
    let text = written(&csv);
    assert!(text.lines().next().unwrap().ends_with(",platform_runs,platform_usd"), "{text}");
    // 12 transitions, 6 calls and 7 reads for each of 4 runs.
    assert!(text.lines().nth(1).unwrap().ends_with(",4,0.001216"), "{text}");
    let json = Selected { form: Form::Json, ..csv };
    let report: Value = serde_json::from_str(&written(&json)).unwrap();
    assert_eq!(report["groups"][0]["platform"]["usd"], "0.001216");
    assert_eq!(report["groups"][0]["platform"]["taken"]["transitions"], 48);
    let without = Selected { platform: None, ..json };
    let report: Value = serde_json::from_str(&written(&without)).unwrap();
    assert_eq!(report["total"].get("platform"), None);
}

/// A day of this period is not one of the period before.
#[test]
fn days_are_compared_in_sum_only() {
    let selected = Selected { before: Some(days()), ..selected(Dimension::Day) };
    let text = shown(&selected, View::Cost, None);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[3].starts_with("2026-11-01 ") && lines[3].ends_with("45 %"), "{text}");
    assert!(lines[6].starts_with("total ") && lines[6].ends_with("$0.0274 + unknown"), "{text}");
    let report: Value =
        serde_json::from_str(&written(&Selected { form: Form::Json, ..selected })).unwrap();
    assert_eq!(report["groups"][0].get("before"), None);
    assert_eq!(report["total_before"]["calls"], 12);
}

#[test]
fn a_change_of_a_cost_that_is_not_known_is_none() {
    let cost = |known: &str, is_known: bool| {
        let cost = known.parse::<Decimal>().unwrap();
        Totals::counted(Usage::default(), cost, (0, u64::from(!is_known)), "m")
    };
    for (now, before, expected) in [
        (cost("1", true), cost("2", true), "-50 %"),
        (cost("2", true), cost("2", true), "0 %"),
        (cost("2", true), cost("0", true), "new"),
        (cost("0", true), cost("0", true), ""),
        (cost("0", false), cost("2", true), ""),
        (cost("2", true), cost("0", false), ""),
    ] {
        assert_eq!(change(&now, &before), expected);
    }
}

#[test]
fn tokens_are_counted_by_kind() {
    let selected = selected(Dimension::Model);
    assert_eq!(shown(&selected, View::Usage, None), include_str!("usage.txt"));
}

#[test]
fn a_period_without_usage_says_so() {
    let nothing = Selected { days: vec![], ..selected(Dimension::Workflow) };
    let expected = "Cost in dev, 2026-11-01 to 2026-11-03 (3 days, UTC)\n\nThere was no usage.\n";
    assert_eq!(shown(&nothing, View::Cost, Some(80)), expected);
}

fn written(selected: &Selected) -> String {
    let world = World { environment: "dev".into(), terminal: false, color: false };
    let mut out = Vec::new();
    sums(selected, View::Cost, &world, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn csv_has_a_row_for_each_group_with_exact_amounts() {
    let selected = Selected { form: Form::Csv, ..selected(Dimension::Workflow) };
    assert_eq!(written(&selected), include_str!("cost.csv"));
}

#[test]
fn json_keeps_unknown_costs_apart_from_known_ones() {
    let selected = Selected { form: Form::Json, ..selected(Dimension::Workflow) };
    let report: Value = serde_json::from_str(&written(&selected)).unwrap();
    let total = &report["total"];
    assert_eq!(undocumented(&report, &[&REPORT, &SUMS]), [""; 0]);
    assert_eq!(undocumented(total, &[&SUMS]), [""; 0]);
    assert_eq!(
        (&total["cost_usd"], &total["priced_subtotal_usd"]),
        (&Value::Null, &json!("0.0274"))
    );
    assert_eq!(total["unpriced"], json!(["us.anthropic.claude-sonnet-5-5"]));
    let groups = report["groups"].as_array().unwrap();
    let names: Vec<&str> = groups.iter().map(|group| group["workflow"].as_str().unwrap()).collect();
    assert_eq!(names, ["explain", "review", "(refused)"]);
    assert_eq!((&groups[0]["runs"], &groups[0]["cost_usd"]), (&json!(4), &json!("0.0164")));
    assert_eq!(report["cost_by_day"][1], json!({ "day": "2026-11-02", "known_cost_usd": "0" }));
    assert_eq!(report["filters"], json!({}));
    assert_eq!(report["unknown_items"], json!(["usage#2026-11-03#7 us-east-1#us.m"]));
    // Steps have no runs of their own, so their number is unknown and not 0.
    let by_step = Selected { by: Dimension::Step, ..selected };
    let report: Value = serde_json::from_str(&written(&by_step)).unwrap();
    assert_eq!(report["groups"][0]["runs"], Value::Null);
}

#[test]
fn a_reader_that_has_gone_ends_the_command_quietly() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let world = World { environment: "dev".into(), terminal: false, color: false };
    for form in [Form::Text, Form::Json, Form::Csv] {
        let selected = Selected { form, ..selected(Dimension::Workflow) };
        let failure = sums(&selected, View::Cost, &world, &mut Gone).unwrap_err();
        assert_eq!(failure.exit, Exit::Unread, "{form:?}");
    }
}
