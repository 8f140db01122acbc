//! The alarms and metrics of CloudWatch, and the rules of EventBridge.

use bcce_core::base::error::Fault;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::signed::{Action, Services, child, each, texts};

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
        let (mut found, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let mut fields = vec![("AlarmNamePrefix".to_owned(), prefix.to_owned())];
            fields.extend(token.take().map(|token| ("NextToken".to_owned(), token)));
            let answer = self.form(ALARMS, "2010-08-01", &fields).await?;
            // Only alarms have a name; the members of other lists are left out.
            found.extend(each(&answer.body, "member", alarm).into_iter().flatten());
            token = texts(&answer.body, "NextToken").into_iter().find(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        Ok(found)
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
        let at = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
        let period = (hours * 3_600).to_string();
        let (start, end) = (at(now - Duration::hours(hours)), at(now));
        let fields = [
            ("Namespace", metric.namespace),
            ("MetricName", metric.name),
            ("Dimensions.member.1.Name", metric.dimension.0),
            ("Dimensions.member.1.Value", metric.dimension.1),
            ("StartTime", &start),
            ("EndTime", &end),
            ("Period", &period),
            ("Statistics.member.1", metric.statistic),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = self.form(STATISTICS, "2010-08-01", &fields).await?;
        let values = texts(&answer.body, metric.statistic).into_iter();
        Ok(values.filter_map(|value| value.parse().ok()).fold(0.0, f64::max))
    }

    /// Lists the rules whose names begin with `prefix`.
    ///
    /// # Errors
    /// `Bcce.Internal`: EventBridge cannot be reached, or refuses the call.
    pub async fn rules(&self, prefix: &str) -> Result<Vec<Rule>, Fault> {
        let (mut found, mut request) = (Vec::new(), json!({ "NamePrefix": prefix }));
        for _ in 0..PAGES {
            let answer = self.json(RULES, "AWSEvents", &request).await?;
            let rules = answer["Rules"].as_array().cloned().unwrap_or_default();
            found.extend(rules.iter().filter_map(rule));
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
        self.json(ENABLE, "AWSEvents", &json!({ "Name": name })).await.map(|_| ())
    }
}

fn alarm(member: roxmltree::Node<'_, '_>) -> Option<Alarm> {
    let name = child(member, "AlarmName");
    let of = |list| member.children().find(|node| node.tag_name().name() == list);
    let targets = of("AlarmActions").into_iter().flat_map(|list| list.children());
    let has_target = targets.filter(roxmltree::Node::is_element).count() > 0;
    (!name.is_empty()).then(|| Alarm {
        name,
        has_target: has_target && child(member, "ActionsEnabled") != "false",
        is_ringing: child(member, "StateValue") == "ALARM",
        reason: child(member, "StateReason"),
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
        let xml = "<R xmlns=\"x\"><MetricAlarms>\
            <member><AlarmName>a</AlarmName><AlarmActions><member>t</member></AlarmActions><StateValue>OK</StateValue></member>\
            <member><AlarmName>b</AlarmName><ActionsEnabled>false</ActionsEnabled><AlarmActions><member>t</member></AlarmActions></member>\
            <member><AlarmName>c</AlarmName><StateValue>ALARM</StateValue><StateReason>r</StateReason></member>\
            </MetricAlarms></R>";
        let found: Vec<Alarm> = each(xml, "member", alarm).into_iter().flatten().collect();
        let names: Vec<_> = found.iter().map(|a| (&*a.name, a.has_target, a.is_ringing)).collect();
        assert_eq!(names, [("a", true, false), ("b", false, false), ("c", false, true)]);
        assert_eq!(found[2].reason, "r");
    }
}
