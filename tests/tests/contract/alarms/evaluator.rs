//! Evaluates the alarms of the template over metrics, as CloudWatch does.
//!
//! An alarm looks at the periods that end now. A period without data does not breach, or leaves the state as it is,
//! according to `TreatMissingData`.

use std::collections::BTreeMap;

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::template::template_of;

/// A metric that an alarm measures: the namespace, the name, and the names of the dimensions with their values in the template.
type Metric = (String, String, Vec<(String, String)>);

/// The alarms, and the values of their metrics that were written.
pub struct Alarms {
    alarms: Vec<Alarm>,
    data: BTreeMap<Metric, Vec<(OffsetDateTime, f64)>>,
}

struct Alarm {
    name: String,
    metric: Metric,
    statistic: Statistic,
    period: Duration,
    periods: i32,
    threshold: f64,
    /// True if missing data leaves the state as it is.
    ignores_missing: bool,
    is_firing: bool,
}

#[derive(Clone, Copy)]
enum Statistic {
    Maximum,
    Minimum,
    Sum,
    /// The average, or 0 of fewer values than this number.
    Rate(usize),
}

impl Alarms {
    /// Reads the alarms.
    pub fn of_the_template() -> Self {
        let template = template_of("alarms");
        let resources = template["Resources"].as_object().unwrap();
        let alarms = resources.iter().map(|(name, it)| Alarm::of(name, &it["Properties"]));
        let alarms: Vec<Alarm> = alarms.collect();
        let ignoring = alarms.iter().filter(|alarm| alarm.ignores_missing);
        assert_eq!(ignoring.map(|alarm| &alarm.name).collect::<Vec<_>>(), ["DeadStandbyAlarm"]);
        let data = alarms.iter().map(|alarm| (alarm.metric.clone(), Vec::new())).collect();
        Self { alarms, data }
    }

    /// Returns each alarm with the value at which it fires.
    pub fn thresholds(&self) -> Vec<(String, f64)> {
        self.alarms.iter().map(|alarm| (alarm.name.clone(), alarm.threshold)).collect()
    }

    /// Adds the metrics of a document in the embedded metric format.
    pub fn write(&mut self, document: &str) {
        let document: Value = serde_json::from_str(document).unwrap();
        let aws = &document["_aws"];
        let at = aws["Timestamp"].as_i64().unwrap();
        let at = OffsetDateTime::from_unix_timestamp(at / 1_000).unwrap();
        for directive in aws["CloudWatchMetrics"].as_array().unwrap() {
            let namespace = directive["Namespace"].as_str().unwrap();
            for names in directive["Dimensions"].as_array().unwrap() {
                let names = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                // The template refers to the parameter Environment, and there is one environment here.
                let dimensions: Vec<_> = names.map(|it| (it.to_owned(), it.to_owned())).collect();
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    let key = (namespace.to_owned(), name.to_owned(), dimensions.clone());
                    let value = document[name].as_f64().unwrap();
                    if let Some(known) = self.data.get_mut(&key) {
                        known.push((at, value));
                    }
                }
            }
        }
    }

    /// Adds a value of the metric of an alarm.
    pub fn put(&mut self, alarm: &str, at: OffsetDateTime, value: f64) {
        let alarm = self.alarms.iter().find(|known| known.name == alarm).unwrap();
        self.data.get_mut(&alarm.metric).unwrap().push((at, value));
    }

    /// Returns the names of the alarms that are in the state ALARM at `now`. Times must not go back.
    pub fn fired(&mut self, now: OffsetDateTime) -> Vec<String> {
        for alarm in &mut self.alarms {
            alarm.evaluate(&self.data[&alarm.metric], now);
        }
        let firing = self.alarms.iter().filter(|alarm| alarm.is_firing);
        firing.map(|alarm| alarm.name.clone()).collect()
    }
}

impl Alarm {
    fn of(name: &str, alarm: &Value) -> Self {
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanOrEqualToThreshold", "{name}");
        assert_eq!(alarm["DatapointsToAlarm"], Value::Null, "{name}: not evaluated here");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{name}")).to_owned();
        let statistic = Statistic::of(name, alarm);
        let (metric, period) = match statistic {
            Statistic::Rate(_) => {
                let of_rate = &alarm["Metrics"][1]["MetricStat"];
                (&of_rate["Metric"], &of_rate["Period"])
            }
            _ => (alarm, &alarm["Period"]),
        };
        let dimensions = metric["Dimensions"].as_array().unwrap().iter();
        let dimensions = dimensions.map(|it| (text(&it["Name"]), text(&it["Value"]))).collect();
        let ignores_missing = match alarm["TreatMissingData"].as_str() {
            Some("ignore") => true,
            Some("notBreaching") => false,
            other => panic!("{name}: {other:?}"),
        };
        Self {
            name: name.to_owned(),
            metric: (text(&metric["Namespace"]), text(&metric["MetricName"]), dimensions),
            statistic,
            period: Duration::seconds(period.as_i64().unwrap()),
            periods: i32::try_from(alarm["EvaluationPeriods"].as_i64().unwrap()).unwrap(),
            threshold: alarm["Threshold"].as_f64().unwrap(),
            ignores_missing,
            is_firing: false,
        }
    }

    /// Fires if each of the last periods, the current one included, reaches the threshold. `data` is in order of time.
    fn evaluate(&mut self, data: &[(OffsetDateTime, f64)], now: OffsetDateTime) {
        let mut breaches = true;
        for n in 0..self.periods {
            let end = now - self.period * n;
            let from = data.partition_point(|(at, _)| *at <= end - self.period);
            let to = data.partition_point(|(at, _)| *at <= end);
            let values: Vec<f64> = data[from..to].iter().map(|(_, value)| *value).collect();
            if values.is_empty() && !self.ignores_missing {
                breaches = false;
                continue;
            }
            let Some(value) = self.statistic.of_values(values) else { return };
            breaches &= value >= self.threshold;
        }
        self.is_firing = breaches;
    }
}

impl Statistic {
    fn of(name: &str, alarm: &Value) -> Self {
        match (alarm["Statistic"].as_str(), alarm["Metrics"].as_array()) {
            (Some("Maximum"), None) => Self::Maximum,
            (Some("Minimum"), None) => Self::Minimum,
            (Some("Sum"), None) => Self::Sum,
            (None, Some(metrics)) => Self::rate(name, metrics),
            other => panic!("{name}: {other:?} is not evaluated here"),
        }
    }

    /// Reads an alarm on `IF(runs >= <number>, share, 0)`, where `runs` and `share` are statistics of one metric.
    fn rate(name: &str, metrics: &[Value]) -> Self {
        let [rate, runs, share] = metrics else { panic!("{name}: {metrics:?}") };
        let ids = [rate, runs, share].map(|it| it["Id"].as_str().unwrap());
        assert_eq!(ids, ["rate", "runs", "share"], "{name}");
        assert_eq!(runs["MetricStat"]["Stat"], "SampleCount", "{name}");
        assert_eq!(share["MetricStat"]["Stat"], "Average", "{name}");
        for of in ["Metric", "Period"] {
            assert_eq!(runs["MetricStat"][of], share["MetricStat"][of], "{name}");
        }
        // An alarm looks at the only result that is returned.
        let returned = [rate, runs, share].map(|it| it["ReturnData"].as_bool().unwrap_or(true));
        assert_eq!(returned, [true, false, false], "{name}");
        let expression = rate["Expression"].as_str().unwrap();
        let least =
            expression.strip_prefix("IF(runs >= ").and_then(|it| it.strip_suffix(", share, 0)"));
        Self::Rate(least.unwrap_or_else(|| panic!("{name}: {expression}")).parse().unwrap())
    }

    /// Returns the statistic. Returns `None` if there are no values.
    fn of_values(self, values: Vec<f64>) -> Option<f64> {
        match self {
            Self::Maximum => values.into_iter().reduce(f64::max),
            Self::Minimum => values.into_iter().reduce(f64::min),
            Self::Sum => values.into_iter().reduce(|sum, value| sum + value),
            Self::Rate(least) if values.len() < least => Some(0.0),
            Self::Rate(_) => Some(values.iter().sum::<f64>() / values.len() as f64),
        }
    }
}
