//! Evaluates the alarms of the template over metrics in the embedded metric format, as CloudWatch does.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::template::template_of;

/// A value of a metric.
struct Datum {
    at: OffsetDateTime,
    metric: String,
    /// The names of the dimensions. Their values are those of one environment.
    dimensions: Vec<String>,
    value: f64,
}

/// The alarms, and the metrics that were written.
pub struct Alarms {
    alarms: Vec<Alarm>,
    data: Vec<Datum>,
}

struct Alarm {
    name: String,
    metric: String,
    dimensions: Vec<String>,
    is_maximum: bool,
    period: Duration,
    periods: i64,
    threshold: f64,
}

impl Alarms {
    /// Reads the alarms on metrics of BCCE. Those on metrics of other services have no data here, and stay silent.
    pub fn of_the_template() -> Self {
        let template = template_of("alarms");
        let resources = template["Resources"].as_object().unwrap();
        let all = resources.iter().filter(|(_, it)| it["Type"] == "AWS::CloudWatch::Alarm");
        let alarms: Vec<Alarm> = all
            .inspect(|(name, it)| {
                let missing = if *name == "DeadStandbyAlarm" { "ignore" } else { "notBreaching" };
                assert_eq!(it["Properties"]["TreatMissingData"], missing, "{name}");
            })
            .filter(|(_, it)| it["Properties"]["Namespace"] == "BCCE")
            .map(|(name, it)| Alarm::of(name, &it["Properties"]))
            .collect();
        assert!(alarms.len() > 5, "{} alarms", alarms.len());
        Self { alarms, data: Vec::new() }
    }

    /// Adds the metrics of a document.
    pub fn write(&mut self, document: &str) {
        let document: Value = serde_json::from_str(document).unwrap();
        let aws = &document["_aws"];
        let at = aws["Timestamp"].as_i64().unwrap();
        let at = OffsetDateTime::from_unix_timestamp(at / 1_000).unwrap();
        for directive in aws["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "BCCE");
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let dimensions: Vec<String> = names(dimensions.as_array().unwrap(), |it| it);
                for metric in directive["Metrics"].as_array().unwrap() {
                    let metric = metric["Name"].as_str().unwrap().to_owned();
                    let value = document[&metric].as_f64().unwrap();
                    self.data.push(Datum { at, metric, dimensions: dimensions.clone(), value });
                }
            }
        }
    }

    /// Returns the names of the alarms that are in the state ALARM at `now`.
    pub fn fired(&self, now: OffsetDateTime) -> Vec<String> {
        let firing = self.alarms.iter().filter(|alarm| alarm.is_firing(&self.data, now));
        firing.map(|alarm| alarm.name.clone()).collect()
    }
}

fn names<'a>(values: &'a [Value], name: impl Fn(&'a Value) -> &'a Value) -> Vec<String> {
    values.iter().map(|value| name(value).as_str().unwrap().to_owned()).collect()
}

impl Alarm {
    fn of(name: &str, alarm: &Value) -> Self {
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanOrEqualToThreshold", "{name}");
        assert_eq!(alarm["DatapointsToAlarm"], Value::Null, "{name}: not evaluated here");
        let statistic = alarm["Statistic"].as_str().unwrap();
        assert!(["Maximum", "Sum"].contains(&statistic), "{name}: {statistic}");
        Self {
            name: name.to_owned(),
            metric: alarm["MetricName"].as_str().unwrap().to_owned(),
            dimensions: names(alarm["Dimensions"].as_array().unwrap(), |it| &it["Name"]),
            is_maximum: statistic == "Maximum",
            period: Duration::seconds(alarm["Period"].as_i64().unwrap()),
            periods: alarm["EvaluationPeriods"].as_i64().unwrap(),
            threshold: alarm["Threshold"].as_f64().unwrap(),
        }
    }

    /// Returns true if each of the last periods, the current one included, reaches the threshold.
    fn is_firing(&self, data: &[Datum], now: OffsetDateTime) -> bool {
        (0..self.periods).all(|n| {
            let end = now - self.period * n as i32;
            let is_within = |datum: &&Datum| {
                datum.metric == self.metric
                    && datum.dimensions == self.dimensions
                    && datum.at <= end
                    && datum.at > end - self.period
            };
            let values = data.iter().rev().filter(is_within).map(|datum| datum.value);
            let value = if self.is_maximum {
                values
                    .fold(None, |most: Option<f64>, it| Some(most.map_or(it, |most| most.max(it))))
            } else {
                values.fold(None, |sum: Option<f64>, it| Some(sum.unwrap_or_default() + it))
            };
            value.is_some_and(|value| value >= self.threshold)
        })
    }
}
