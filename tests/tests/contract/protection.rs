//! Checks what only AWS would show: who may use a key, what outlives a stack, what alarms measure, and that AWS accepts
//! the names and parameters.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::template::{COMPANIONS, nested, read, template, template_of};

fn resources_of<'a>(template: &'a Value, kind: &str) -> Vec<(&'a String, &'a Value)> {
    let resources = template["Resources"].as_object().unwrap();
    resources.iter().filter(|(_, resource)| resource["Type"] == kind).collect()
}

fn services(statement: &Value) -> Vec<&str> {
    match &statement["Principal"]["Service"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A key policy lets SNS use the key only for the topics that it names. SNS calls KMS itself and sends the ARN of the
/// topic. Without the condition, topics of every account could use the key. With a condition on the source account, a
/// notification may be lost without an error.
#[test]
fn sns_uses_a_key_for_topics_that_the_key_names() {
    let arn = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:*";
    for (name, key, expected) in [
        ("template", "ArtifactKey", json!({ "ArnLike": { "aws:SourceArn": arn } })),
        (
            "tenant",
            "Key",
            json!({ "ArnEquals": { "aws:SourceArn": { "Fn::Sub": "${Stack}-NotificationsTopicArn" } } }),
        ),
    ] {
        let template = template_of(name);
        let statements = &template["Resources"][key]["Properties"]["KeyPolicy"]["Statement"];
        let of_sns: Vec<&Value> = statements
            .as_array()
            .unwrap()
            .iter()
            .filter(|statement| services(statement).contains(&"sns.amazonaws.com"))
            .collect();
        assert_eq!(of_sns.len(), 1, "{name}");
        assert_eq!(services(of_sns[0]), ["sns.amazonaws.com"], "{name}");
        assert_eq!(of_sns[0]["Condition"], expected, "{name}");
    }
}

/// Each bucket policy has the deletion and replacement policies of its bucket.
#[test]
fn a_bucket_that_outlives_the_stack_keeps_its_policy() {
    let template = template();
    let policies = resources_of(&template, "AWS::S3::BucketPolicy");
    assert_eq!(policies.len(), resources_of(&template, "AWS::S3::Bucket").len());
    for (name, policy) in policies {
        let bucket = &template["Resources"][policy["Properties"]["Bucket"].as_str().unwrap()];
        for key in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert!(bucket[key].is_string(), "{name}");
            assert_eq!(policy[key], bucket[key], "{key} of {name}");
        }
    }
}

/// Alarms measure each way in which an execution of the finalize machine can end badly: aborted, failed and timed out.
#[test]
fn every_bad_end_of_the_finalize_machine_fires_an_alarm() {
    let template = template();
    let alarms = resources_of(&template, "AWS::CloudWatch::Alarm");
    let machine = json!([{ "Name": "StateMachineArn", "Value": "FinalizeStateMachine" }]);
    let of_machine =
        alarms.iter().filter(|(_, alarm)| alarm["Properties"]["Dimensions"] == machine);
    let seen: BTreeSet<&str> =
        of_machine.map(|(_, alarm)| alarm["Properties"]["MetricName"].as_str().unwrap()).collect();
    assert_eq!(seen, ["ExecutionsAborted", "ExecutionsFailed", "ExecutionsTimedOut"].into());
}

/// The runbook is about each alarm and no other one. An alarm notifies the topic of the alarms.
#[test]
fn every_alarm_is_documented() {
    let docs = read("docs/runbook.md");
    let quoted = docs.split('`').filter(|word| word.ends_with("Alarm") && !word.contains(' '));
    let documented: BTreeSet<&str> = quoted.collect();
    let (template, companion) = (template(), template_of("observability"));
    let alarms = resources_of(&template, "AWS::CloudWatch::Alarm");
    let over_alarms = resources_of(&companion, "AWS::CloudWatch::CompositeAlarm");
    let names: BTreeSet<&str> =
        alarms.iter().chain(&over_alarms).map(|(name, _)| name.as_str()).collect();
    assert_eq!(documented, names, "the alarms of docs/runbook.md and those of the templates");
    for (name, alarm) in alarms {
        let actions = json!(["HasAlarmTopic", ["AlarmTopicArn"], "AWS::NoValue"]);
        assert_eq!(alarm["Properties"]["AlarmActions"], actions, "{name}");
    }
}

/// No function reserves concurrency by default. Lambda keeps 100 of an account's pool unreserved, so a new account with
/// a pool of 10 can reserve nothing.
#[test]
fn no_concurrency_is_reserved_by_default() {
    let template = template();
    let parameters = template["Parameters"].as_object().unwrap();
    let reserved: Vec<_> =
        parameters.iter().filter(|(name, _)| name.ends_with("ReservedConcurrency")).collect();
    assert_eq!(reserved.len(), 2);
    for (name, parameter) in reserved {
        assert_eq!(parameter["Default"], 0, "{name}");
    }
    for (name, function) in resources_of(&template, "AWS::Serverless::Function") {
        let reserved = &function["Properties"]["ReservedConcurrentExecutions"];
        assert!(reserved.is_null() || reserved[2] == "AWS::NoValue", "{name} always reserves");
    }
}

/// The roles that call models may apply guardrails and guardrail profiles, which serve several regions. They may call the
/// same models.
#[test]
fn a_guardrail_may_be_one_of_several_regions() {
    let template = template();
    let resources = |role: &str, action: &str| {
        let policy = &template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"];
        let statements = policy["Statement"].as_array().unwrap();
        let statement = statements.iter().find(|it| it["Action"] == action);
        statement.unwrap_or_else(|| panic!("{role} has no {action}"))["Resource"].clone()
    };
    let guardrails = resources("InvokeRole", "bedrock:ApplyGuardrail");
    let guardrails = guardrails.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap());
    let kinds: Vec<&str> = guardrails.map(|arn| arn.rsplit(':').next().unwrap()).collect();
    assert_eq!(kinds, ["guardrail/*", "guardrail-profile/*"]);
    for action in ["bedrock:ApplyGuardrail", "bedrock:InvokeModelWithResponseStream"] {
        assert_eq!(resources("RunPartRole", action), resources("InvokeRole", action));
    }
}

/// The parameters for TLS roots and FIPS endpoints apply to all functions.
#[test]
fn the_roots_and_the_endpoints_are_those_of_the_parameters() {
    let template = template();
    let function = &template["Globals"]["Function"];
    let variables = &function["Environment"]["Variables"];
    assert_eq!(
        function["Layers"],
        json!(["HasTlsRootsLayer", ["TlsRootsLayerArn"], "AWS::NoValue"])
    );
    assert_eq!(
        variables["AWS_CA_BUNDLE"],
        json!(["HasTlsRootsLayer", "/opt/roots.pem", "AWS::NoValue"])
    );
    assert_eq!(
        variables["AWS_USE_FIPS_ENDPOINT"],
        json!(["HasFipsEndpoints", "true", "AWS::NoValue"])
    );
    for (name, function) in resources_of(&template, "AWS::Serverless::Function") {
        assert!(function["Properties"]["Layers"].is_null(), "{name} has layers of its own");
    }
}

/// AWS's limit of each name that a template gives, in characters.
const LIMITS: [(&str, &str, usize); 15] = [
    ("AWS::CE::AnomalyMonitor", "MonitorName", 1_024),
    ("AWS::CE::AnomalySubscription", "SubscriptionName", 1_024),
    ("AWS::CloudWatch::Alarm", "AlarmName", 255),
    ("AWS::CloudWatch::CompositeAlarm", "AlarmName", 255),
    ("AWS::CloudWatch::Dashboard", "DashboardName", 255),
    ("AWS::Events::Rule", "Name", 64),
    ("AWS::IAM::Role", "RoleName", 64),
    ("AWS::KMS::Alias", "AliasName", 256),
    ("AWS::Logs::LogGroup", "LogGroupName", 512),
    ("AWS::Logs::QueryDefinition", "Name", 255),
    ("AWS::SQS::Queue", "QueueName", 80),
    ("AWS::Scheduler::Schedule", "Name", 64),
    ("AWS::Serverless::Function", "FunctionName", 64),
    ("AWS::Serverless::StateMachine", "Name", 80),
    ("AWS::StepFunctions::StateMachine", "StateMachineName", 80),
];

/// Returns the most characters that a pattern like `[a-z][a-z-]{0,19}` allows.
fn longest(parameter: &Value) -> usize {
    let pattern = parameter["AllowedPattern"].as_str().unwrap();
    let repeated = pattern.rsplit_once("{0,").unwrap().1.strip_suffix('}').unwrap();
    1 + repeated.parse::<usize>().unwrap()
}

/// Each name that a template builds is within AWS's limit, even with the longest parameters.
#[test]
fn the_longest_names_are_ones_that_aws_takes() {
    let of_stack = longest(&template_of("tenant")["Parameters"]["Stack"]);
    let companions = COMPANIONS.map(|name| (name, template_of(name)));
    for (name, template) in companions.into_iter().chain([("template", template())]) {
        let longest = |parameter: &str| match parameter {
            "AWS::StackName" => of_stack,
            other => longest(&template["Parameters"][other]),
        };
        for (kind, key, limit) in LIMITS {
            for (resource, properties) in resources_of(&template, kind) {
                let Some(text) = properties["Properties"][key].as_str() else { continue };
                let mut parts = text.split("${");
                let mut length = parts.next().unwrap().len();
                for part in parts {
                    let (parameter, rest) = part.split_once('}').unwrap();
                    length += longest(parameter) + rest.len();
                }
                assert!(length <= limit, "{key} of {resource} in infra/{name}.yaml: {length}");
            }
        }
    }
}

/// All templates and the Makefile refuse the same stack names. A rule of a template cannot check the stack name, so the
/// template checks the value of an SSM parameter that contains it.
#[test]
fn a_stack_name_that_is_too_long_is_refused() {
    let of_stack = |name: &str| template_of(name)["Parameters"]["Stack"]["AllowedPattern"].clone();
    let pattern = of_stack("tenant").as_str().unwrap().to_owned();
    let nested = nested(&template_of("template")).into_values().map(|it| it.name);
    for name in nested.chain(COMPANIONS.map(str::to_owned)) {
        assert_eq!(of_stack(&name), pattern, "infra/{name}.yaml");
    }
    let parameter = &template()["Resources"]["StackParameter"]["Properties"];
    let begins = format!(r#"^\{{"Stack":"{pattern}","#);
    assert_eq!(parameter["AllowedPattern"], format!("{begins}.*$"));
    let value = parameter["Value"][0].as_str().unwrap();
    assert!(value.starts_with(r#"{"Stack":"${AWS::StackName}","#), "{value}");
    assert!(read("Makefile").contains(&format!("grep -Ex '{pattern}'")));
}

/// A concurrency of 1 is refused before any resource is created, because an event source needs at least two invocations
/// at a time.
#[test]
fn a_concurrency_of_one_is_refused_before_anything_is_made() {
    for name in ["template", "tenant"] {
        let rule = &template_of(name)["Rules"]["LambdaTakesTheConcurrency"]["Assertions"][0];
        assert_eq!(rule["Assert"], json!([["DispatchMaximumConcurrency", 1]]), "{name}");
    }
}

/// AWS allows one monitor of services per account, and creates it in new accounts. So a stack creates none unless asked,
/// and a subscription without a monitor is refused before anything is made.
#[test]
fn no_monitor_of_costs_is_created_by_default() {
    let template = template_of("observability");
    assert_eq!(template["Parameters"]["CreateCostMonitor"]["Default"], "no");
    let asked = json!(["CreateCostMonitor", "yes"]);
    let conditions = &template["Conditions"];
    assert_eq!(conditions["MakesCostMonitor"][0], asked);
    assert_eq!(template["Resources"]["CostMonitor"]["Condition"], "MakesCostMonitor");
    let rule = &template["Rules"]["CostEmailNeedsMonitor"];
    assert_eq!(rule["RuleCondition"], json!([["CostEmail", ""]]));
    assert_eq!(rule["Assertions"][0]["Assert"], json!([[["CostMonitorArn", ""]], asked]));
    let docs = read("docs/dashboard.md");
    assert!(docs.contains("aws ce get-anomaly-monitors"));
    for line in docs.lines().filter(|line| line.starts_with("make observe")) {
        assert_eq!(line.contains("CostEmail="), line.contains("CostMonitorArn="), "{line}");
    }
}

/// The cost table of batches has a row for the events of the bucket, and its rows add up to its totals, which stay below
/// a tenth of the tokens. The bucket sends a paid event to EventBridge for each object, whether or not a rule matches.
#[test]
fn the_cost_table_counts_the_events_of_the_bucket_and_adds_up() {
    let bucket = &template()["Resources"]["ArtifactBucket"]["Properties"];
    let events = &bucket["NotificationConfiguration"]["EventBridgeConfiguration"];
    assert_eq!(events["EventBridgeEnabled"], true);
    let docs = read("docs/batches-internals.md");
    let table = docs.split_once("| $ per million |").unwrap().1;
    let (rows, rest) = table.split_once("| **all of it without tokens** |").unwrap();
    assert!(rows.contains("| EventBridge: "));
    let number = |cell: &str| cell.trim().trim_matches('*').trim_start_matches('$').parse().ok();
    let totals: Vec<f64> = rest.lines().next().unwrap().split('|').filter_map(number).collect();
    let tokens = rest.lines().find(|row| row.contains("Claude Haiku")).unwrap();
    let tokens: Vec<f64> = tokens.split('|').filter_map(number).collect();
    // Each row ends with the three numbers of the two modes, of which the last is the cost.
    for (mode, column) in [5, 8].into_iter().enumerate() {
        let dollars = |row: &str| row.split('|').nth(column).and_then(number);
        let sum: f64 = rows.lines().filter_map(dollars).sum();
        let (total, tokens) = (totals[mode], tokens[mode + 1]);
        assert!((sum - total).abs() < 0.05, "the rows are ${sum}, the total says ${total}");
        assert!(total > 0.0 && total < tokens / 10.0, "${total} of ${tokens}");
    }
}

/// The largest request fits into a message that has further attributes: its request id if `dispatch` renews it, and its
/// reason as a dead letter.
#[test]
fn the_largest_request_can_be_renewed_and_set_aside() {
    use bcce_core::base::limits::{MAX_ID_BYTES, MAX_REQUEST_BYTES};
    let request_id = "bcce_request_id".len() + "String".len() + MAX_ID_BYTES;
    for template in [template(), template_of("tenant")] {
        let properties = &template["Resources"]["InboxQueue"]["Properties"];
        let most = properties["MaximumMessageSize"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap();
        assert!(most >= MAX_REQUEST_BYTES + request_id);
        // The attributes are error, reason (700 characters of up to four bytes), request_id and tenant.
        assert!(most + 40 + 700 * 4 + MAX_ID_BYTES + 20 + 60 <= 1_048_576);
        assert_eq!(properties["RedrivePolicy"]["maxReceiveCount"], 100, "waiting.rs depends on it");
    }
}

/// A single tenant cannot use all concurrency of `invoke` by default. `make deploy` reserves 490 of a pool of 1,000 for
/// the function, and some of them stay free for other tenants.
#[test]
fn a_flood_cannot_take_every_place_of_invoke_by_default() {
    use bcce_core::run::history::WAVE_CONCURRENCY;
    let default = |name: &str| {
        template()["Parameters"][name]["Default"]
            .as_u64()
            .and_then(|n| usize::try_from(n).ok())
            .unwrap()
    };
    let most = default("TenantMaximumRuns") * WAVE_CONCURRENCY + default("TenantMaximumBatchItems");
    assert!(most + 40 <= 490, "{most} calls of one tenant");
    assert!(default("TenantMaximumRuns") > 0 && default("TenantMaximumBatchItems") > 0);
}
