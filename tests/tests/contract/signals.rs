//! Compares what alarms, widgets and queries refer to with what the stack emits: metrics with their dimensions and units,
//! and fields of log lines. A name that nothing emits makes an alarm that never fires and a widget that stays empty.

mod aws;
mod dashboard;
mod emitted;
mod queries;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::alarms::anchor;
use crate::template::{functions, read, root, template, template_of};
use emitted::{Emitted, PLACES, emitted};
use queries::query;

/// A metric that an alarm or a widget refers to.
#[derive(Debug)]
pub struct Reference {
    /// The name of the alarm, or the title of the widget. It is read in the messages of failures.
    #[expect(dead_code)]
    pub whose: String,
    pub namespace: String,
    pub metric: String,
    /// The dimensions, with the text of the template for their values. A search leaves values open.
    pub dimensions: Vec<(String, Option<String>)>,
    /// The unit in which the value is understood.
    pub unit: Option<String>,
}

impl Reference {
    /// Panics unless the stack emits the metric.
    fn check(&self, emitted: &Emitted) {
        let mut names: Vec<String> = self.dimensions.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        let unit = match self.namespace.as_str() {
            "BCCE" => emitted.units.get(&(self.metric.clone(), names)).map(String::as_str),
            _ => aws::METRICS
                .iter()
                .find(|(namespace, metric, dimension, _)| {
                    *namespace == self.namespace && *metric == self.metric && names == [*dimension]
                })
                .map(|(.., unit)| *unit),
        };
        let unit = unit.unwrap_or_else(|| panic!("nothing emits {self:?}"));
        assert!(
            self.unit.as_deref().is_none_or(|given| given == unit),
            "{unit} is the unit of {self:?}"
        );
        for (name, value) in &self.dimensions {
            // The value is a parameter of the nested template with the name of the dimension at its end, such as
            // DeadLetterQueueName. tests/tests/contract/nesting.rs checks what is passed.
            let Some(value) = value else { continue };
            let parameter = value.trim_start_matches("${").trim_end_matches('}');
            assert!(parameter.ends_with(name.as_str()), "{name} is {value} in {self:?}");
        }
        let has_environment =
            self.dimensions.iter().any(|it| it.0 == "Environment" && it.1.is_some());
        assert!(has_environment || self.namespace != "BCCE", "of all environments: {self:?}");
    }
}

/// Returns the metrics of an alarm, of which CloudWatch bills each: the only one, or those of its expression.
fn metrics_of(alarm: &Value) -> Vec<&Value> {
    let properties = &alarm["Properties"];
    match properties["Metrics"].as_array() {
        Some(metrics) => {
            let metrics = metrics.iter().map(|it| &it["MetricStat"]["Metric"]);
            metrics.filter(|metric| metric.is_object()).collect()
        }
        None => vec![properties],
    }
}

fn of_alarm((name, alarm): (&String, &Value)) -> Vec<Reference> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reference = |metric: &Value| Reference {
        whose: name.clone(),
        namespace: text(&metric["Namespace"]),
        metric: text(&metric["MetricName"]),
        dimensions: metric["Dimensions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (text(&it["Name"]), Some(text(&it["Value"]))))
            .collect(),
        unit: metric["Unit"].as_str().map(str::to_owned),
    };
    metrics_of(alarm).into_iter().map(reference).collect()
}

/// Each file that makes metrics documents is rendered by these tests. A place that is missing would hide its metrics.
#[test]
fn every_place_that_emits_metrics_is_rendered() {
    let folders = ["crates", "functions", "cli"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| queries::files(folder));
    let making = files.filter(|(_, text)| text.contains("emf::document(")).map(|(name, _)| name);
    let rendered: BTreeSet<String> = PLACES.iter().map(|place| place.file.to_owned()).collect();
    assert_eq!(making.collect::<BTreeSet<_>>(), rendered);
    let known: BTreeSet<String> = functions().into_iter().collect();
    let writing = PLACES.iter().flat_map(|place| place.functions).map(|it| (*it).to_owned());
    assert!(writing.collect::<BTreeSet<_>>().is_subset(&known));
}

#[test]
fn every_alarm_refers_to_a_metric_that_the_stack_emits() {
    let (emitted, template) = (emitted(), template_of("alarms"));
    let resources = template["Resources"].as_object().unwrap();
    for alarm in resources {
        let references = of_alarm(alarm);
        assert!(!references.is_empty(), "{}", alarm.0);
        references.iter().for_each(|reference| reference.check(&emitted));
    }
}

#[test]
fn every_widget_refers_to_metrics_that_the_stack_emits() {
    let (emitted, body) = (emitted(), dashboard::body(true));
    let mut seen = 0;
    for (title, widget) in dashboard::widgets(&body) {
        if widget["type"] != "metric" {
            continue;
        }
        for reference in dashboard::references(title, widget) {
            reference.check(&emitted);
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

/// The limits of CloudWatch, and a layout of rows without gaps or overlaps.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>
#[test]
fn the_dashboard_is_one_that_cloudwatch_takes() {
    for has_all in [true, false] {
        let body = dashboard::body(has_all);
        let widgets = dashboard::widgets(&body);
        assert!(widgets.len() <= 100, "{}", widgets.len());
        let mut cells = BTreeSet::new();
        let mut area = 0;
        for (title, widget) in &widgets {
            let of = |name: &str| widget[name].as_u64().unwrap();
            let (x, y, width, height) = (of("x"), of("y"), of("width"), of("height"));
            assert!(x + width <= 24, "{title}");
            area += width * height;
            cells.extend((x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))));
            let metrics = widget["properties"]["metrics"].as_array().map_or(0, Vec::len);
            assert!(metrics <= 100, "{title}");
            let known =
                ["metric", "text", "log", "alarm"].iter().any(|kind| widget["type"] == *kind);
            assert!(known && (widget["type"] == "text") == title.is_empty(), "{title}");
        }
        assert_eq!(cells.len() as u64, area, "widgets overlap");
        let rows = cells.iter().map(|(_, y)| y + 1).max().unwrap();
        assert_eq!(area, rows * 24, "there is a gap between widgets");
    }
}

/// The dashboard shows the state of each alarm, and its links lead to sections of the runbook.
#[test]
fn the_dashboard_shows_every_alarm_and_links_to_the_runbook() {
    for has_all in [true, false] {
        let body = dashboard::body(has_all);
        let widgets = dashboard::widgets(&body);
        let (_, alarms) = widgets.iter().find(|(_, widget)| widget["type"] == "alarm").unwrap();
        let shown = alarms["properties"]["alarms"].as_array().unwrap().iter();
        let shown: BTreeSet<&str> = shown
            .map(|arn| arn.as_str().unwrap().rsplit_once(":alarm:${Stack}-").unwrap().1)
            .collect();
        let template = template_of("alarms");
        let resources = template["Resources"].as_object().unwrap().iter();
        let expected = resources.filter(|(_, alarm)| has_all || alarm["Condition"].is_null());
        assert_eq!(shown, expected.map(|(name, _)| name.as_str()).collect());
        let text = body.to_string();
        let runbook = read("docs/runbook.md");
        let headings = runbook.lines().filter_map(|line| line.strip_prefix("## "));
        let anchors: BTreeSet<String> = headings.map(anchor).collect();
        let links: Vec<&str> = text.split("${RunbookUrl}#").skip(1).collect();
        assert_eq!(links.len() > 5, has_all);
        for link in links {
            let link = link.split(')').next().unwrap();
            assert!(anchors.contains(link), "docs/runbook.md has no section {link}");
        }
    }
}

/// A log group, a field or a text that a query refers to exists.
#[test]
fn every_query_refers_to_fields_that_the_log_lines_have() {
    let emitted = emitted();
    let mut queries: Vec<(String, String, Vec<String>)> = Vec::new();
    for (name, it) in template_of("observability")["Resources"].as_object().unwrap() {
        if let Some(text) = it["Properties"]["QueryString"].as_str() {
            let groups = it["Properties"]["LogGroupNames"].as_array().unwrap();
            let groups = groups.iter().map(|group| group.as_str().unwrap().to_owned()).collect();
            queries.push((name.clone(), text.to_owned(), groups));
        }
    }
    let body = dashboard::body(true);
    for (title, widget) in dashboard::widgets(&body) {
        if let Some(text) = widget["properties"]["query"].as_str() {
            let group = text.split('\'').nth(1).unwrap().to_owned();
            queries.push((title.to_owned(), text.to_owned(), vec![group]));
        }
    }
    assert!(queries.len() > 7, "{}", queries.len());
    let template = template();
    // CloudWatch refuses a query of a group that does not exist.
    let has_every_stack = |name: &str| {
        let name = name.replace("${Stack}", "${AWS::StackName}");
        let mut resources = template["Resources"].as_object().unwrap().values();
        let group = resources.find(|it| it["Properties"]["LogGroupName"] == json!(name));
        group.is_some_and(|group| group["Condition"].is_null())
    };
    for (name, text, groups) in queries {
        // A run and an item of a batch end with the same lines, but only one of them in RunFailed.
        let is_of_runs = name.contains("Runs") || name.contains("runs");
        assert_eq!(is_of_runs, text.contains("kind = \"run\""), "{name}");
        let query = query(&text);
        let mut unknown = query.fields;
        let mut sources = String::new();
        for group in groups {
            let function = group.strip_prefix("/aws/lambda/${Stack}-").unwrap();
            assert!(functions().contains(&function.to_owned()), "{name}: {group}");
            assert!(has_every_stack(&group), "{name}: not every stack has {group}");
            let known = queries::fields_of(function, &emitted);
            unknown.retain(|field| !known.contains(field));
            sources.extend(queries::sources(function));
        }
        assert!(unknown.is_empty(), "{name}: no line has {unknown:?}");
        for text in query.texts {
            let is_given =
                ["REPORT", "REPLACE BY THE RUN ID", "FAILED", "run"].contains(&text.as_str());
            let begins = text.split('*').next().unwrap();
            assert!(
                is_given || sources.contains(&format!("\"{begins}")),
                "{name}: no line has {text}"
            );
        }
    }
}

/// The query for the lines of a run reads the log of each function that names a run or its execution. It finds the run id
/// in any field, such as `execution`, in which the number of the attempt may follow it.
#[test]
fn the_query_for_the_lines_of_a_run_reads_each_function_that_names_a_run() {
    let query = template_of("observability")["Resources"]["OneRunQuery"]["Properties"].take();
    let text = query["QueryString"].as_str().unwrap();
    assert!(text.contains("filter @message like \"REPLACE BY THE RUN ID\""), "{text}");
    let names = |function: &String| queries::logs_one_of(function, &["run_id", "execution"]);
    let naming: Vec<String> = functions().into_iter().filter(names).collect();
    assert!(naming.contains(&"dispatch".to_owned()));
    // A stack without webhooks does not have that group.
    for function in naming.iter().filter(|function| *function != "webhook") {
        let group = json!(format!("/aws/lambda/${{Stack}}-{function}"));
        assert!(query["LogGroupNames"].as_array().unwrap().contains(&group), "{function}");
    }
}

/// docs/dashboard.md states how many metrics, alarms and dashboards are billed, and what an example costs.
#[test]
fn the_costs_of_what_is_seen_are_those_that_the_page_states() {
    let (emitted, page) = (emitted(), read("docs/dashboard.md"));
    // Cents a month: https://aws.amazon.com/cloudwatch/pricing/
    let (metric, alarm, dashboard) = (30, 10, 300);
    // The values that the page's example has for each dimension besides the environment.
    let example = [("Workflow", 5), ("Region", 4), ("Model", 1), ("Budget", 3), ("Tenant", 1)];
    let mut metrics = 0;
    for (dimensions, count) in emitted.by_dimensions() {
        let names: Vec<String> = dimensions.iter().map(|it| format!("`{it}`")).collect();
        let row = format!("| {} | {count} |", names.join(", "));
        assert!(page.contains(&row), "docs/dashboard.md has no row {row}");
        let values = |name: &String| example.iter().find(|it| it.0 == name).map_or(1, |it| it.1);
        metrics += count * dimensions.iter().map(values).product::<usize>();
    }
    let template = template();
    let resources = template["Resources"].as_object().unwrap().values();
    let alarms = resources.filter(|it| it["Type"] == "AWS::CloudWatch::Alarm");
    let alarms: Vec<usize> = alarms.map(|it| metrics_of(it).len()).collect();
    let (alarms, of_alarms) = (alarms.len(), alarms.iter().sum::<usize>());
    let all = metrics * metric + of_alarms * alarm + dashboard;
    for text in [
        format!("{metrics} metrics: ${}.{:02}", metrics * metric / 100, metrics * metric % 100),
        format!(
            "{alarms} alarms on {of_alarms} metrics: ${}.{:02}",
            of_alarms * alarm / 100,
            of_alarms * alarm % 100
        ),
        format!("${}.{:02} a month", all / 100, all % 100),
    ] {
        assert!(page.contains(&text), "docs/dashboard.md does not say: {text}");
    }
}
