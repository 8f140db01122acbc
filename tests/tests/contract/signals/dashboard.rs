//! Reads the dashboard of the template as CloudWatch does.

use serde_json::Value;

use super::Reference;
use crate::template::template_of;

/// Returns the body of the dashboard. `has_all` says whether the stack has a webhook and the address of a runbook.
pub fn body(has_all: bool) -> Value {
    let properties = template_of("dashboard")["Resources"]["Dashboard"]["Properties"].take();
    let parts = &properties["DashboardBody"];
    let mut text = parts[0].as_str().unwrap().to_owned();
    for (name, value) in parts[1].as_object().unwrap() {
        // `!If [<condition>, <value>, <other value>]`
        let value = value[if has_all { 1 } else { 2 }].as_str().unwrap();
        text = text.replace(&format!("${{{name}}}"), value);
    }
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("the dashboard is no JSON: {error}"))
}

/// Returns the widgets with their titles. A widget of text has none.
pub fn widgets(body: &Value) -> Vec<(&str, &Value)> {
    let widgets = body["widgets"].as_array().unwrap().iter();
    widgets.map(|it| (it["properties"]["title"].as_str().unwrap_or(""), it)).collect()
}

/// Returns what a widget of metrics refers to.
pub fn references(title: &str, widget: &Value) -> Vec<Reference> {
    let properties = &widget["properties"];
    let unit = properties["yAxis"]["left"]["label"].as_str().map(|label| match label {
        "count" => "Count",
        "seconds" => "Seconds",
        "milliseconds" => "Milliseconds",
        "percent" => "Percent",
        "USD" | "share" => "None",
        other => panic!("{title}: {other} is no label of a unit"),
    });
    // A number has no axis. All of them are counts.
    assert_eq!(unit.is_none(), properties["view"] == "singleValue", "{title}");
    let metrics = properties["metrics"].as_array().unwrap().iter();
    metrics
        .map(|metric| {
            let (mut reference, of) = match metric[0]["expression"].as_str() {
                Some(expression) => of_search(title, expression),
                None => of_metric(title, metric),
            };
            let is_plain = ["p50", "p95", "Sum", "Maximum", "Average", "SampleCount"];
            assert!(is_plain.contains(&of.as_str()), "{title}: {of}");
            reference.unit = unit.map(str::to_owned);
            reference
        })
        .collect()
}

/// Reads `[namespace, metric, dimension, value, { stat }]`.
fn of_metric(title: &str, metric: &Value) -> (Reference, String) {
    let text =
        |n: usize| metric[n].as_str().unwrap_or_else(|| panic!("{title}: {metric}")).to_owned();
    assert_eq!(metric.as_array().unwrap().len(), 5, "{title}: {metric}");
    let reference = Reference {
        whose: title.to_owned(),
        namespace: text(0),
        metric: text(1),
        dimensions: vec![(text(2), Some(text(3)))],
        unit: None,
    };
    (reference, metric[4]["stat"].as_str().unwrap().to_owned())
}

/// Reads `SEARCH('{namespace,dimension,...} MetricName="..." <dimension>="..."', '<statistic>')`, or the sum of it.
fn of_search(title: &str, expression: &str) -> (Reference, String) {
    let bad = format!("{title}: {expression}");
    let inner = expression.strip_prefix("SUM(").and_then(|it| it.strip_suffix(')'));
    let search = inner.unwrap_or(expression).strip_prefix("SEARCH('{").expect(&bad);
    let (schema, rest) = search.split_once("} ").expect(&bad);
    let (terms, rest) = rest.split_once("', '").expect(&bad);
    let statistic = rest.strip_suffix("')").expect(&bad);
    let mut names = schema.split(',').map(str::to_owned);
    let namespace = names.next().unwrap();
    let mut metric = None;
    let mut dimensions: Vec<(String, Option<String>)> = names.map(|name| (name, None)).collect();
    for term in terms.split(' ') {
        let (name, value) = term.split_once('=').unwrap_or_else(|| panic!("{title}: {term}"));
        let value = value.trim_matches('"').to_owned();
        if name == "MetricName" {
            metric = Some(value);
        } else {
            let known = dimensions.iter_mut().find(|(dimension, _)| dimension == name);
            known.unwrap_or_else(|| panic!("{title}: {name}")).1 = Some(value);
        }
    }
    let metric = metric.expect(&bad);
    let whose = title.to_owned();
    (Reference { whose, namespace, metric, dimensions, unit: None }, statistic.to_owned())
}
