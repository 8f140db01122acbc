//! The alarms and metrics of CloudWatch, and the rules of EventBridge.

use bcce_core::base::error::Fault;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::signed::{Action, Services};

/// An alarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub name: String,
    /// True if the alarm notifies a target.
    pub has_target: bool,
    pub is_ringing: bool,
    /// The reason of its state.
    pub reason: String,
}

/// A rule of EventBridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub is_enabled: bool,
}

/// A statistic of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    /// The only dimension, with its value.
    pub dimension: (&'a str, &'a str),
    /// `Sum` or `Maximum`.
    pub statistic: &'a str,
}

/// The largest number of pages of a list.
const PAGES: usize = 20;

const ALARMS: Action = Action { service: "cloudwatch", host: "monitoring", name: "DescribeAlarms" };
const STATISTICS: Action =
    Action { service: "cloudwatch", host: "monitoring", name: "GetMetricStatistics" };
const RULES: Action = Action { service: "events", host: "events", name: "ListRules" };
const ENABLE: Action = Action { service: "events", host: "events", name: "EnableRule" };

impl Services {
    /// Lists the alarms whose names begin with `prefix`.
    ///
    /// # Errors
    /// `Bcce.Internal`: CloudWatch cannot be reached, or refuses the call.
    pub async fn alarms(&self, prefix: &str) -> Result<Vec<Alarm>, Fault> {
        let request = json!({ "AlarmNamePrefix": prefix });
        self.list(ALARMS, request, "MetricAlarms", alarm).await
    }

    /// Reads a statistic of the hours until `now`. Returns 0 if there are no data points.
    ///
    /// # Errors
    /// `Bcce.Internal`: CloudWatch cannot be reached, or refuses the call.
    pub async fn statistic(
        &self,
        metric: Metric<'_>,
        hours: i64,
        now: OffsetDateTime,
    ) -> Result<f64, Fault> {
        let (name, value) = metric.dimension;
        let request = json!({
            "Namespace": metric.namespace,
            "MetricName": metric.name,
            "Dimensions": [{ "Name": name, "Value": value }],
            "StartTime": (now - Duration::hours(hours)).unix_timestamp(),
            "EndTime": now.unix_timestamp(),
            "Period": hours * 3_600,
            "Statistics": [metric.statistic],
        });
        let answer = self.json(STATISTICS, &request).await?;
        let points = answer["Datapoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        let values = points.iter().filter_map(|point| point[metric.statistic].as_f64());
        Ok(values.fold(0.0, f64::max))
    }

    /// Lists the rules whose names begin with `prefix`.
    ///
    /// # Errors
    /// `Bcce.Internal`: EventBridge cannot be reached, or refuses the call.
    pub async fn rules(&self, prefix: &str) -> Result<Vec<Rule>, Fault> {
        self.list(RULES, json!({ "NamePrefix": prefix }), "Rules", rule).await
    }

    /// Reads the pages of a list. `read` reads an element of the field `field`.
    async fn list<T>(
        &self,
        action: Action,
        mut request: Value,
        field: &str,
        read: fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, Fault> {
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let answer = self.json(action, &request).await?;
            found.extend(answer[field].as_array().into_iter().flatten().filter_map(read));
            match answer["NextToken"].as_str() {
                Some(token) => request["NextToken"] = token.into(),
                None => break,
            }
        }
        Ok(found)
    }

    /// Enables a rule. Safe to repeat.
    ///
    /// # Errors
    /// `Bcce.Internal`: EventBridge cannot be reached, or refuses the call.
    pub async fn enable_rule(&self, name: &str) -> Result<(), Fault> {
        self.json(ENABLE, &json!({ "Name": name })).await.map(|_| ())
    }
}

fn alarm(alarm: &Value) -> Option<Alarm> {
    let targets = alarm["AlarmActions"].as_array().map_or(0, Vec::len);
    Some(Alarm {
        name: alarm["AlarmName"].as_str()?.to_owned(),
        has_target: targets > 0 && alarm["ActionsEnabled"].as_bool() != Some(false),
        is_ringing: alarm["StateValue"] == "ALARM",
        reason: alarm["StateReason"].as_str().unwrap_or_default().to_owned(),
    })
}

fn rule(rule: &Value) -> Option<Rule> {
    let name = rule["Name"].as_str()?.to_owned();
    Some(Rule { name, is_enabled: rule["State"].as_str() != Some("DISABLED") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_whose_actions_are_missing_or_disabled_has_no_target() {
        let alarms = json!([
            { "AlarmName": "a", "AlarmActions": ["t"], "StateValue": "OK" },
            { "AlarmName": "b", "AlarmActions": ["t"], "ActionsEnabled": false },
            { "AlarmName": "c", "StateValue": "ALARM", "StateReason": "r" },
        ]);
        let found: Vec<Alarm> = alarms.as_array().unwrap().iter().filter_map(alarm).collect();
        let names: Vec<_> = found.iter().map(|a| (&*a.name, a.has_target, a.is_ringing)).collect();
        assert_eq!(names, [("a", true, false), ("b", false, false), ("c", false, true)]);
        assert_eq!(found[2].reason, "r");
    }
}
