//! Checks the templates of the companion stacks: the names that they take from the main stack, the requests that they
//! send, and the conditions that the emulator does not evaluate.

use bcce_core::run::request::Request;
use serde_json::{Value, json};

use crate::template::{COMPANIONS, read, template, template_of};

/// Each value that a companion stack imports is exported by the main template or the tenant template.
#[test]
fn what_is_imported_is_exported() {
    let outputs = |template: &Value| template["Outputs"].as_object().cloned().unwrap_or_default();
    let exported: Vec<String> = ["template", "tenant"]
        .into_iter()
        .flat_map(|name| outputs(&template_of(name)))
        .filter_map(|(_, output)| output["Export"]["Name"].as_str().map(str::to_owned))
        .map(|name| name.replace("AWS::StackName", "Stack"))
        .collect();
    let mut imported = 0;
    for name in COMPANIONS {
        let text = read(&format!("infra/{name}.yaml"));
        for import in text.split("!ImportValue { \"Fn::Sub\": \"").skip(1) {
            let import = import.split('"').next().unwrap().to_owned();
            assert!(
                exported.contains(&import),
                "infra/{name}.yaml imports {import}, which no template exports"
            );
            imported += 1;
        }
        assert_eq!(text.matches("!ImportValue").count(), text.matches("!ImportValue { ").count());
    }
    assert!(imported > 0);
}

/// A companion template that builds the name of a queue, a function or a key alias builds the name that the main
/// template gives.
#[test]
fn queues_and_functions_have_the_names_that_are_built_here() {
    let main = &template()["Resources"];
    let name = |resource: &str, key: &str| {
        let name = main[resource]["Properties"][key].as_str().unwrap();
        name.replace("AWS::StackName", "Stack")
    };
    let inbox = name("InboxQueue", "QueueName");
    let letters = name("DeadLetterQueue", "QueueName");
    let dispatch = name("DispatchFunction", "FunctionName");
    let tenant = template_of("tenant")["Resources"].take();
    let of_tenant = &tenant["InboxQueue"]["Properties"];
    // `dispatch` reads the tenant from the end of the queue's name. The permission to use the tenant's key names the
    // alias of the same name.
    assert_eq!(of_tenant["QueueName"], format!("{inbox}-${{Tenant}}"));
    let alias = &tenant["KeyAlias"]["Properties"]["AliasName"];
    assert_eq!(*alias, format!("alias/{inbox}-${{Tenant}}"));
    let dead_letters = of_tenant["RedrivePolicy"]["deadLetterTargetArn"].as_str().unwrap();
    assert!(dead_letters.ends_with(&format!(":{letters}")), "{dead_letters}");
    assert_eq!(tenant["Inbox"]["Properties"]["FunctionName"], dispatch);
    for (template, target) in [
        ("schedule", "/Resources/Schedule/Properties/Target/Arn/1/Inbox"),
        ("object-created", "/Resources/ObjectCreatedRule/Properties/Targets/0/Arn/1/Inbox"),
    ] {
        let inboxes = json!(["IsOfTenant", format!("{inbox}-${{Tenant}}"), inbox]);
        assert_eq!(template_of(template).pointer(target), Some(&inboxes), "{template}");
    }
}

/// The inbox of a tenant and its event source have the same limits as those of the main stack.
#[test]
fn a_tenants_inbox_is_as_the_main_one() {
    let (main, tenant) =
        (template()["Resources"].take(), template_of("tenant")["Resources"].take());
    for key in ["MaximumMessageSize", "VisibilityTimeout", "MessageRetentionPeriod"] {
        let of = |resources: &Value| resources["InboxQueue"]["Properties"][key].clone();
        assert_eq!(of(&main), of(&tenant), "{key}");
    }
    let receives = "/InboxQueue/Properties/RedrivePolicy/maxReceiveCount";
    assert_eq!(main.pointer(receives), tenant.pointer(receives));
    let event = &main["DispatchFunction"]["Properties"]["Events"]["Inbox"]["Properties"];
    for key in ["BatchSize", "FunctionResponseTypes", "ScalingConfig"] {
        assert_eq!(event[key], tenant["Inbox"]["Properties"][key], "{key}");
    }
}

/// Each policy of the tenant template allows the tenant's accounts, or, if there are none, any principal of its
/// organization. Without the condition on the organization, the principal `*` would allow everybody.
#[test]
fn only_accounts_of_the_tenant_or_its_organization_are_let_in() {
    let tenant = template_of("tenant");
    assert_eq!(tenant["Conditions"]["OrganizationCounts"][0], json!(["HasAccounts"]));
    let resources = &tenant["Resources"];
    let documents = [
        &resources["Key"]["Properties"]["KeyPolicy"],
        &resources["InboxQueuePolicy"]["Properties"]["PolicyDocument"],
        &resources["NotificationsQueuePolicy"]["Properties"]["PolicyDocument"],
        &resources["ReaderRole"]["Properties"]["AssumeRolePolicyDocument"],
    ];
    for document in documents {
        let statements = document["Statement"].as_array().unwrap();
        let allowed = statements.iter().filter(|statement| statement["Effect"] == "Allow");
        let people: Vec<&Value> = allowed
            .filter(|statement| statement["Principal"]["AWS"].is_array())
            .inspect(|statement| {
                assert_eq!(statement["Principal"]["AWS"], json!(["HasAccounts", "Accounts", "*"]));
                let condition = statement["Condition"].to_string();
                assert!(condition.contains("OrganizationCounts"), "{statement}");
                assert!(condition.contains(r#""aws:PrincipalOrgID":"#), "{statement}");
                // A policy with the principal `*` allows every role of its own account, whatever their IAM policies
                // say.
                let left_out = r#""StringNotEquals":["HasAccounts","AWS::NoValue",{"aws:PrincipalAccount":"AWS::AccountId"}]"#;
                assert!(condition.contains(left_out), "{statement}");
            })
            .collect();
        assert_eq!(people.len(), 1, "{document}");
    }
}

/// The templates have the conditions that the emulator does not evaluate: those on KMS keys of queues and objects, and
/// on `s3:prefix`.
#[test]
fn the_conditions_that_only_aws_evaluates_are_there() {
    let role = |template: &Value, role: &str| {
        template["Resources"][role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
            .clone()
    };
    let condition = |statements: &Value, sid: &str| {
        let statements = statements.as_array().unwrap();
        statements.iter().find(|statement| statement["Sid"] == sid).unwrap()["Condition"].clone()
    };
    let reader = role(&template_of("tenant"), "ReaderRole");
    assert_eq!(
        condition(&reader, "ListOwnRuns"),
        json!({ "StringLike": { "s3:prefix": "runs/${Tenant}/*" } })
    );
    let decrypt = condition(&reader, "DecryptOwnRuns");
    assert_eq!(
        decrypt["StringLike"]["kms:EncryptionContext:aws:s3:arn"][0],
        "arn:${AWS::Partition}:s3:::${Bucket}/runs/${Tenant}/*"
    );
    assert_eq!(decrypt["StringEquals"]["kms:ViaService"], "s3.${AWS::Region}.${AWS::URLSuffix}");
    let dispatch = condition(&role(&template(), "DispatchRole"), "ReadTenantsMessages");
    assert_eq!(
        dispatch,
        json!({
            "StringEquals": { "kms:ViaService": "sqs.${AWS::Region}.${AWS::URLSuffix}" },
            "ForAnyValue:StringLike": { "kms:ResourceAliases": "alias/${AWS::StackName}-inbox-*" },
        })
    );
    let key = template_of("tenant")["Resources"]["Key"]["Properties"]["KeyPolicy"].take();
    assert_eq!(
        condition(&key["Statement"], "TenantThroughQueues")["StringEquals"]["kms:ViaService"],
        "sqs.${AWS::Region}.${AWS::URLSuffix}"
    );
}

/// The schedule's input is a valid request with the parameters of the sample, and its id has the scheduled time.
#[test]
fn the_sample_schedule_sends_a_request_with_the_time_that_was_due() {
    let schedule = template_of("schedule");
    let sample: Value = serde_json::from_str(&read("events/schedule/weekly.json")).unwrap();
    let mut input = schedule["Resources"]["Schedule"]["Properties"]["Target"]["Input"]
        .as_str()
        .unwrap()
        .to_owned();
    for (name, value) in sample["Parameters"].as_object().unwrap() {
        assert!(!schedule["Parameters"][name].is_null(), "{name} is not a parameter");
        input = input.replace(&format!("${{{name}}}"), value.as_str().unwrap());
    }
    let request = Request::parse(&input).unwrap_or_else(|problems| panic!("{input}: {problems}"));
    assert_eq!(request.id.as_deref(), Some("weekly/<aws.scheduler.scheduled-time>"));
    assert_eq!(request.tags["team"], "payments");
}

/// The rule matches the sample event of S3, and makes a valid request of it. The id of the request is the id of the
/// event.
#[test]
fn the_sample_event_of_s3_becomes_a_request_under_its_own_id() {
    let rule = template_of("object-created")["Resources"]["ObjectCreatedRule"]["Properties"].take();
    let event: Value =
        serde_json::from_str(&read("events/eventbridge/object-created.json")).unwrap();
    assert_eq!(rule["EventPattern"]["source"][0], event["source"]);
    assert_eq!(rule["EventPattern"]["detail-type"][0], event["detail-type"]);
    let transformer = &rule["Targets"][0]["InputTransformer"];
    let mut body = transformer["InputTemplate"].as_str().unwrap().to_owned();
    body = body.replace("${Workflow}", "on-upload").replace("${Input}", "created");
    for (name, path) in transformer["InputPathsMap"].as_object().unwrap() {
        let value = &event[path.as_str().unwrap().strip_prefix("$.").unwrap()];
        body = body.replace(&format!("<{name}>"), &value.to_string());
    }
    let request = Request::parse(&body).unwrap_or_else(|problems| panic!("{body}: {problems}"));
    assert_eq!(request.id.as_deref(), event["id"].as_str());
    assert_eq!(request.inputs["created"], event["detail"]);
}

/// Each parameter of a template is on its page of the documentation.
#[test]
fn every_parameter_is_documented() {
    for (name, docs) in [
        ("template", "docs/parameters.md"),
        ("observability", "docs/dashboard.md"),
        ("tenant", "docs/tenants.md"),
        ("schedule", "docs/schedules.md"),
        ("object-created", "docs/schedules.md"),
    ] {
        let docs = read(docs);
        for parameter in template_of(name)["Parameters"].as_object().unwrap().keys() {
            assert!(
                docs.contains(&format!("`{parameter}`")),
                "the parameter {parameter} of infra/{name}.yaml is not documented"
            );
        }
    }
}
