use bcce_core::run::manifest::{StepUsage, UsageLine};
use time::macros::date;

use super::*;

/// Returns calls of two workflows, which belong to two teams and call two models.
fn calls() -> [CountedCalls; 3] {
    let counted = |workflow: &str, team: &str, model_id: &str| {
        let line = UsageLine { model_id: model_id.into(), ..UsageLine::default() };
        CountedCalls {
            allocation: Allocation {
                tenant: "default".into(),
                workflow: workflow.into(),
                cost_tags: [("team".to_owned(), team.to_owned())].into(),
            },
            usage: StepUsage::without_step(date!(2026 - 11 - 01), &line),
        }
    };
    let explain = || counted("explain", "search", "us.anthropic.claude-haiku-5-5");
    [explain(), explain(), counted("review", "payments", "us.anthropic.claude-sonnet-5-5")]
}

fn filters(tags: &[(&str, &str)]) -> Filters {
    let tag = tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Filters { tag, ..Filters::default() }
}

fn selected(filters: &Filters) -> usize {
    calls().iter().filter(|calls| filters.want_calls(calls)).count()
}

#[test]
fn values_of_one_tag_are_alternatives_and_tags_are_not() {
    for (tags, count, text) in [
        (&[][..], 3, ""),
        (&[("team", "search")], 2, " of tag team=search"),
        (&[("team", "search"), ("team", "payments")], 3, " of tag team=search or payments"),
        (&[("team", "search"), ("stage", "live")], 0, " of tag stage=live and tag team=search"),
        (&[("team", "search"), ("stage", "(none)")], 2, " of tag stage=(none) and tag team=search"),
    ] {
        let filters = filters(tags);
        assert_eq!((selected(&filters), filters.describe().as_str()), (count, text));
    }
    assert_eq!(filters(&[("team", "a"), ("team", "b")]).json(), json!({ "tag:team": ["a", "b"] }));
}

#[test]
fn a_model_is_named_with_or_without_its_profile_and_never_in_part() {
    let of = |model: &str| selected(&Filters { model: vec![model.into()], ..Filters::default() });
    assert_eq!(of("anthropic.claude-haiku-5-5"), 2);
    assert_eq!(of("us.anthropic.claude-haiku-5-5"), 2);
    assert_eq!((of("anthropic.claude-haiku"), of("global.anthropic.claude-haiku-5-5")), (0, 0));
}

#[test]
fn the_model_behind_an_arn_is_the_model_and_the_arn_is_the_target() {
    let [mut calls, _, _] = calls();
    calls.usage.line.region = "us-east-1".into();
    calls.usage.line.model_id = "arn:x".into();
    calls.usage.line.profile_model = Some("global.anthropic.claude-haiku-5-5".into());
    assert_eq!(Dimension::Model.of_calls(&calls), "anthropic.claude-haiku-5-5");
    assert_eq!(Dimension::Target.of_calls(&calls), "us-east-1 arn:x");
    let wants = |model: &str| {
        Filters { model: vec![model.into()], ..Filters::default() }.want_calls(&calls)
    };
    assert!(wants("arn:x") && wants("anthropic.claude-haiku-5-5"));
    assert!(!wants("anthropic.claude-haiku"));
}

#[test]
fn each_dimension_is_written_as_it_is_read() {
    for name in ["workflow", "model", "region", "target", "tenant", "day", "step", "tier", "tag:a"]
    {
        assert_eq!(parse(name).unwrap().name(), name);
    }
    for wrong in ["", "error", "tag:", "Workflow"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn filters_are_written_as_the_options_that_select_the_same() {
    let filters = Filters {
        workflow: vec!["a".into(), "b".into()],
        tag: vec![("team".into(), "x".into()), ("cost center".into(), "(none)".into())],
        ..Filters::default()
    };
    let options = " --workflow a --workflow b --tag team=x --tag 'cost center'='(none)'";
    assert_eq!(filters.options(), options);
    assert_eq!(Filters::default().options(), "");
}
