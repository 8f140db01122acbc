//! Lists every permission of every role of the templates, and the test that shows that it is needed. The offline
//! contract test compares this table with the templates: a new permission needs a row here.

/// A permission: role, statement, action, and the proof that it is needed. Add the rows of a new state machine or rule
/// at the end. An action that a service takes under a role is [`Shown::AsTheRole`].
pub type Grant = (&'static str, &'static str, &'static str, Shown);

/// The proof that a permission is needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shown {
    /// The test calls the functions of a run one after the other. Without the permission, one of them fails.
    Walk,
    /// The test lets `dispatch` handle a new message, a duplicate and an invalid one. Without the permission, one
    /// fails.
    Dispatch,
    /// The test sends a signed webhook call. Without the permission, the call does not become a message.
    Webhook,
    /// The test calls the functions of a batch one after the other. Without the permission, one of them fails.
    Batch,
    /// The same test as [`Shown::Batch`], with a batch from a bucket outside of the stack.
    BatchElsewhere,
    /// A service uses the role on AWS, or the emulator does not check the permission. The test assumes the role and
    /// makes the call itself.
    AsTheRole,
    /// The test in `tenants.rs` assumes the role from a tenant's account. The call succeeds for the tenant's own
    /// objects and is refused for all others.
    AsTheTenant,
    /// The emulator checks the permission for another resource than AWS does, so the test asks the emulator's policy
    /// simulator for these resources. `{}` stands for the name of the function, and `{ArtifactBucket}` and the like
    /// stand for the output of the stack.
    Simulated(&'static [&'static str]),
    /// No test on the emulator can show that the permission is needed, for this reason.
    Explained(&'static str),
}

use Shown::{
    AsTheRole, AsTheTenant, Batch, BatchElsewhere, Dispatch, Explained, Simulated, Walk, Webhook,
};

const KMS: Shown = Explained(
    "On AWS, S3, SQS, SNS and DynamoDB call KMS with the caller's permissions; the emulator does not check them",
);
/// The ledger, in a permission that only a run with a budget needs.
const LEDGER: Shown = Simulated(&["arn:aws:dynamodb:us-east-1:000000000000:table/{LedgerTable}"]);
/// The emulator supports neither dynamodb:LeadingKeys nor dynamodb:Attributes.
const OTHER_KEYS: Shown = Explained(
    "Another statement of the role grants the action for other keys or attributes, which the emulator does not check",
);
const LOG_DELIVERY: Shown = Explained(
    "Step Functions sets up log delivery with these when the machine is created; the emulator delivers no logs",
);

/// Lambda and Step Functions send traces with the permissions of the function or the state machine. The emulator sends
/// none.
const TRACES: Shown = ANY;

/// The log stream of a function. AWS checks `log-group:<name>:*`, the emulator `log-group:<name>`. Lambda writes the
/// log with the permissions of the function, which the emulator does not check.
const LOG: Shown = Simulated(&[
    "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/bcce-dev-{}:log-stream:one",
]);

/// The parameters that `prepare` reads, each by its name. The emulator checks `*`.
const CONFIGURATION: Shown = Simulated(&[
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/budgets",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/models",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/policy",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/prices",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/profiles",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/routing",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/workflows/explain",
]);
/// The parameter, the document and the topic of the alerts of budgets.
const ALERTS: Shown = Simulated(&["arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/budgets"]);
const LARGE_BUDGETS: Shown = Simulated(&["arn:aws:s3:::{ArtifactBucket}/config/budgets/0a.yaml"]);
const ALERTED: Shown = Simulated(&["{NotificationsTopicArn}"]);
/// The documents, profiles and models that `canary` reads, and the document that it writes.
const TARGET_DOCUMENTS: Shown = Simulated(&[
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/models",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/policy",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/prices",
    "arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/profiles",
]);
const LARGE_TARGET_DOCUMENTS: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/config/models/0a.yaml",
    "arn:aws:s3:::{ArtifactBucket}/config/policy/0a.yaml",
    "arn:aws:s3:::{ArtifactBucket}/config/prices/0a.yaml",
    "arn:aws:s3:::{ArtifactBucket}/config/profiles/0a.yaml",
]);
const DESCRIBED: Shown =
    Simulated(&["arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/profiles"]);
const LARGE_DESCRIBED: Shown =
    Simulated(&["arn:aws:s3:::{ArtifactBucket}/config/profiles/0a.yaml"]);
const PROFILE: Shown = Simulated(&[
    "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-sonnet-5-5",
    "arn:aws:bedrock:eu-west-1:000000000000:application-inference-profile/abcdefghijkl",
]);
const MODEL: Shown =
    Simulated(&["arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-5-5"]);
/// The parameters that `webhook` lists.
const SOURCES: Shown =
    Simulated(&["arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/webhooks"]);
/// The parameters that `dispatch` lists.
const WORKFLOWS: Shown =
    Simulated(&["arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/workflows"]);
const SECRETS: Shown =
    Simulated(&["arn:aws:ssm:us-east-1:000000000000:parameter/bcce/dev/secrets/github"]);
/// The guardrails of a call. The emulator checks `*`.
const GUARDRAIL: Shown = Simulated(&[
    "arn:aws:bedrock:eu-central-1:000000000000:guardrail/abcdefghijkl",
    "arn:aws:bedrock:eu-west-1:000000000000:guardrail-profile/eu.guardrail.v1:0",
]);

/// The children of a Map and the runs that they wait for. The emulator starts, follows and stops them without checking
/// permissions.
const STARTS: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-batch",
    "arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-workflow",
]);
const FOLLOWS: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-batch:explain-batch-1",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-batch/items:1",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-workflow:explain-1",
]);
/// The executions that the finalize machine describes. The emulator does not check the permission.
const DESCRIBES: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-batch:explain-batch-1",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-workflow:explain-1",
]);
/// The machines whose executions `sweep` lists, and the executions that it describes.
const SWEPT: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-batch",
    "arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-finalize",
    "arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-workflow",
]);
const ENDED: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-batch:explain-batch-1",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-finalize:0f5d3f4a",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-workflow:explain-1",
]);
/// The finalize machine, which `sweep` and the Maps of the machine itself start.
const STARTS_FINALIZE: Shown =
    Simulated(&["arn:aws:states:us-east-1:000000000000:stateMachine:bcce-dev-finalize"]);
const FOLLOWS_PARTS: Shown = Simulated(&[
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-finalize:0f5d3f4a",
    "arn:aws:states:us-east-1:000000000000:execution:bcce-dev-finalize/parts:1",
]);
/// The EventBridge rule through which Step Functions on AWS is told of the ends of runs.
const WATCHES: Shown = Simulated(&[
    "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule",
]);
const CHILDREN: Shown = Explained(
    "Step Functions uploads the results of a Map's children in parts; the emulator does not write these results",
);

/// The objects that the functions of bulk mode read and write. A batch in bulk mode has at least a hundred records, too
/// many to run one for each permission. One test runs such a batch to show that the permissions suffice.
const ITEMS: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/configuration-1.json",
    "arn:aws:s3:::{ArtifactBucket}/batches/inbox/explain/a.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/uploads/a.txt",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/parts/000001.jsonl",
]);
const GIVEN: Shown = Simulated(&["arn:aws:s3:::bcce-corpus/a.txt"]);
const RECORDS: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/input/0001/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/rendered/000001.json",
]);
/// The objects of a packed run that is retried, and where they come from.
const SEGMENTS: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/segments-1/000001/000002.segment.jsonl",
]);
const UNPACKED: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/runs/default/r/request.json",
    "arn:aws:s3:::{ArtifactBucket}/runs/default/r/steps/answer.answer.json",
]);
const BUCKET: Shown = Simulated(&["arn:aws:s3:::{ArtifactBucket}"]);
const BATCH: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/jobs.json",
]);
const PARTS: Shown =
    Simulated(&["arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/parts.jsonl"]);
/// The objects that the ItemReaders of Maps list and read.
const PLACED: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/parts.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/places-1/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-12/leftover-parts.jsonl",
]);
const TAKES: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/output/j/000001.jsonl.out",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/jobs.json",
]);
const REST: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/others/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/taken/000001.json",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/left/000001.jsonl",
]);
const EARLIER: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/sealed-1/000001.part.json",
    "arn:aws:s3:::{ArtifactBucket}/runs/default/r/steps/answer.answer.json",
]);
const LEFT: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/others/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/left/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/sample.jsonl",
]);
const LEFTOVERS: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/jobs.json",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/sample.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-12/leftover-parts.jsonl",
]);
const SIGNS: Shown = Simulated(&["{SigningKeyArn}"]);
const COUNTS: Shown = Simulated(&["arn:aws:dynamodb:us-east-1:000000000000:table/{LedgerTable}"]);
const JOB: Shown =
    Simulated(&["arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/abc123def456"]);
const ANY: Shown = Simulated(&["*"]);
const SERVICE_ROLE: Shown = Explained(
    "Its condition names the service that receives the role, which no call on the emulator names",
);
const INPUT: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/input/0001/000001.jsonl",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/output/j/000001.jsonl.out",
]);
const OUTPUT: Shown = Simulated(&[
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/output/j/000001.jsonl.out",
    "arn:aws:s3:::{ArtifactBucket}/batches/runs/default/explain-batch-1/bulk-1/output/j/manifest.json.out",
]);
const CLAUDE: Shown = Simulated(&[
    "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.anthropic.claude-sonnet-5-5",
    "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-sonnet-5-5",
]);

const LISTING: Shown = Explained(
    "Its condition names a prefix; the emulator does not support s3:prefix and refuses every listing",
);
const SCHEDULER: Shown = Explained("The emulator's Scheduler sends without checking permissions");

pub const GRANTS: &[Grant] = &[
    ("WebhookRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("WebhookRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("WebhookRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("WebhookRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("WebhookRole", "ListSources", "ssm:GetParametersByPath", SOURCES),
    ("WebhookRole", "ReadSecrets", "ssm:GetParameters", SECRETS),
    ("WebhookRole", "ReadLargeSource", "s3:GetObject", Webhook),
    ("WebhookRole", "SendRequest", "sqs:SendMessage", Webhook),
    ("WebhookRole", "SendToTenants", "kms:GenerateDataKey", KMS),
    ("WebhookRole", "SendToTenants", "kms:Decrypt", KMS),
    ("WebhookRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("WebhookRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("DispatchRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("DispatchRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("DispatchRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("DispatchRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("DispatchRole", "ReadInbox", "sqs:ReceiveMessage", AsTheRole),
    ("DispatchRole", "ReadInbox", "sqs:DeleteMessage", AsTheRole),
    ("DispatchRole", "ReadInbox", "sqs:GetQueueAttributes", AsTheRole),
    ("DispatchRole", "ReadInbox", "sqs:ChangeMessageVisibility", AsTheRole),
    ("DispatchRole", "RenewMessage", "sqs:SendMessage", AsTheRole),
    ("DispatchRole", "ReadTenantsMessages", "kms:GenerateDataKey", KMS),
    ("DispatchRole", "ReadTenantsMessages", "kms:Decrypt", KMS),
    ("DispatchRole", "StoreRequest", "s3:PutObject", Dispatch),
    ("DispatchRole", "StoreRequest", "s3:GetObject", Dispatch),
    ("DispatchRole", "ListWorkflows", "ssm:GetParametersByPath", WORKFLOWS),
    ("DispatchRole", "HoldSlots", "dynamodb:Query", Dispatch),
    ("DispatchRole", "HoldSlots", "dynamodb:PutItem", Dispatch),
    ("DispatchRole", "HoldSlots", "dynamodb:DeleteItem", AsTheRole),
    ("DispatchRole", "StartRun", "states:StartExecution", Dispatch),
    ("DispatchRole", "SetBadMessageAside", "sqs:SendMessage", Dispatch),
    ("DispatchRole", "NotifyRejected", "sns:Publish", Dispatch),
    ("DispatchRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("DispatchRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("PrepareRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("PrepareRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("PrepareRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("PrepareRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("PrepareRole", "ReadConfiguration", "ssm:GetParameters", CONFIGURATION),
    ("PrepareRole", "ReadRequestAndTemplate", "s3:GetObject", Walk),
    ("PrepareRole", "StorePlan", "s3:PutObject", Walk),
    // No packed run is retried in this test.
    ("PrepareRole", "FindPackedRun", "dynamodb:Query", COUNTS),
    ("PrepareRole", "ReadSegments", "s3:GetObject", SEGMENTS),
    ("PrepareRole", "UnpackRun", "s3:PutObject", UNPACKED),
    ("PrepareRole", "DistinguishMissingFromForbidden", "s3:ListBucket", AsTheRole),
    ("PrepareRole", "OpenRunRecord", "dynamodb:PutItem", Walk),
    ("PrepareRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("PrepareRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("FailoverRouterRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("FailoverRouterRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("FailoverRouterRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("FailoverRouterRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    // A router that cannot read the ledger decides from memory, so `invoke` answers all the same. The condition on the
    // keys of targets (dynamodb:LeadingKeys) has an effect on AWS only: the emulator does not support it.
    ("FailoverRouterRole", "ReadHealthOfTargets", "dynamodb:BatchGetItem", AsTheRole),
    ("FailoverRouterRole", "ElectProbe", "dynamodb:PutItem", AsTheRole),
    ("FailoverRouterRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("InvokeRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("InvokeRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("InvokeRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("InvokeRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("InvokeRole", "ReadRun", "s3:GetObject", Walk),
    // The run of this test does not use the response cache.
    ("InvokeRole", "ReadCachedAnswer", "s3:GetObject", SEGMENTS),
    ("InvokeRole", "StoreAnswerOrFailure", "s3:PutObject", Walk),
    ("InvokeRole", "DistinguishMissingFromForbidden", "s3:ListBucket", AsTheRole),
    ("InvokeRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("InvokeRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("InvokeRole", "ReadTargetsAndBudgets", "dynamodb:BatchGetItem", OTHER_KEYS),
    ("InvokeRole", "ReportHealthOfTargets", "dynamodb:PutItem", OTHER_KEYS),
    ("InvokeRole", "ReportHealthOfTargets", "dynamodb:UpdateItem", OTHER_KEYS),
    ("InvokeRole", "ReserveFromBudgets", "dynamodb:UpdateItem", OTHER_KEYS),
    ("InvokeRole", "UseResponseCache", "dynamodb:BatchGetItem", OTHER_KEYS),
    ("InvokeRole", "UseResponseCache", "dynamodb:PutItem", OTHER_KEYS),
    // The functions call the scripted model, which does not check permissions. The emulator's Bedrock does.
    ("InvokeRole", "CallClaude", "bedrock:InvokeModelWithResponseStream", AsTheRole),
    ("InvokeRole", "ApplyGuardrail", "bedrock:ApplyGuardrail", GUARDRAIL),
    ("PersistArtifactRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("PersistArtifactRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("PersistArtifactRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("PersistArtifactRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("PersistArtifactRole", "ReadRun", "s3:GetObject", Walk),
    ("PersistArtifactRole", "ListRun", "s3:ListBucket", Walk),
    ("PersistArtifactRole", "StoreManifest", "s3:PutObject", Walk),
    ("PersistArtifactRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("PersistArtifactRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("PersistArtifactRole", "ReadCallLog", "dynamodb:Query", Walk),
    ("PersistArtifactRole", "CommitReservations", "dynamodb:UpdateItem", LEDGER),
    ("PersistArtifactRole", "SignManifest", "kms:Sign", Walk),
    ("PersistArtifactRole", "SignManifest", "kms:Verify", SIGNS),
    ("EmitMetricsRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("EmitMetricsRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("EmitMetricsRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("EmitMetricsRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("EmitMetricsRole", "ReadManifest", "s3:GetObject", Walk),
    ("EmitMetricsRole", "CountRun", "dynamodb:UpdateItem", Walk),
    ("EmitMetricsRole", "ReleaseSlot", "dynamodb:DeleteItem", Walk),
    ("EmitMetricsRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("WatchBudgetsRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("WatchBudgetsRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("WatchBudgetsRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("WatchBudgetsRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("WatchBudgetsRole", "ReadBudgets", "ssm:GetParameters", ALERTS),
    ("WatchBudgetsRole", "ReadLargeDocument", "s3:GetObject", LARGE_BUDGETS),
    ("WatchBudgetsRole", "ListCounters", "dynamodb:Query", LEDGER),
    ("WatchBudgetsRole", "ReadCounters", "dynamodb:BatchGetItem", LEDGER),
    ("WatchBudgetsRole", "ClaimAlert", "dynamodb:UpdateItem", LEDGER),
    ("WatchBudgetsRole", "Notify", "sns:Publish", ALERTED),
    ("WatchBudgetsRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("WatchBudgetsRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("CanaryRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("CanaryRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("CanaryRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("CanaryRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("CanaryRole", "ReadDocuments", "ssm:GetParameters", TARGET_DOCUMENTS),
    ("CanaryRole", "ReadLargeDocument", "s3:GetObject", LARGE_TARGET_DOCUMENTS),
    ("CanaryRole", "RenewProfiles", "ssm:PutParameter", DESCRIBED),
    ("CanaryRole", "StoreLargeProfiles", "s3:PutObject", LARGE_DESCRIBED),
    ("CanaryRole", "ReadBreakersAndCalls", "dynamodb:BatchGetItem", LEDGER),
    ("CanaryRole", "ReadReported", "dynamodb:Query", LEDGER),
    ("CanaryRole", "RecordCalls", "dynamodb:UpdateItem", LEDGER),
    ("CanaryRole", "Notify", "sns:Publish", ALERTED),
    ("CanaryRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("CanaryRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("CanaryRole", "CallClaude", "bedrock:InvokeModelWithResponseStream", CLAUDE),
    ("CanaryRole", "ApplyGuardrail", "bedrock:ApplyGuardrail", GUARDRAIL),
    ("CanaryRole", "ApplyGuardrail", "bedrock:GetGuardrail", GUARDRAIL),
    ("CanaryRole", "DescribeProfiles", "bedrock:GetInferenceProfile", PROFILE),
    ("CanaryRole", "DescribeModels", "bedrock:GetFoundationModel", MODEL),
    ("CanaryRole", "ReadAccount", "bedrock:GetFoundationModelAvailability", ANY),
    ("CanaryRole", "ReadAccount", "bedrock:GetAccountDataRetention", ANY),
    ("CanaryRole", "ReadAccount", "servicequotas:ListServiceQuotas", ANY),
    ("OpenBatchRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("OpenBatchRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("OpenBatchRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("OpenBatchRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("OpenBatchRole", "ReadConfiguration", "ssm:GetParameters", CONFIGURATION),
    ("OpenBatchRole", "ReadTemplateAndSource", "s3:GetObject", Batch),
    ("OpenBatchRole", "ReadBatch", "s3:GetObject", Batch),
    ("OpenBatchRole", "WriteItems", "s3:PutObject", Batch),
    ("OpenBatchRole", "DistinguishMissingFromForbidden", "s3:ListBucket", Batch),
    ("OpenBatchRole", "ReadGivenSources", "s3:GetObject", BatchElsewhere),
    ("OpenBatchRole", "ReadGivenSources", "s3:ListBucket", BatchElsewhere),
    ("OpenBatchRole", "RecordBatch", "dynamodb:PutItem", Batch),
    ("OpenBatchRole", "StopBatch", "dynamodb:UpdateItem", Batch),
    ("OpenBatchRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("OpenBatchRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("OpenItemRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("OpenItemRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("OpenItemRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("OpenItemRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("OpenItemRole", "ReadItem", "s3:GetObject", Batch),
    ("OpenItemRole", "StoreRequest", "s3:GetObject", Batch),
    ("OpenItemRole", "StoreRequest", "s3:PutObject", Batch),
    ("OpenItemRole", "NoteRefused", "s3:PutObject", Batch),
    ("OpenItemRole", "DistinguishMissingFromForbidden", "s3:ListBucket", AsTheRole),
    ("OpenItemRole", "ReadGivenSources", "s3:GetObject", BatchElsewhere),
    ("OpenItemRole", "ReadBatchProgress", "dynamodb:Query", Batch),
    // A batch is halted only after too many of its items have failed, which this test does not arrange.
    ("OpenItemRole", "HaltBatch", "dynamodb:UpdateItem", AsTheRole),
    ("OpenItemRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("OpenItemRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("RunPartRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("RunPartRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("RunPartRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("RunPartRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("RunPartRole", "ReadPart", "s3:GetObject", Batch),
    // No item is retried in this test.
    ("RunPartRole", "ReadEarlierAttempts", "s3:GetObject", EARLIER),
    ("RunPartRole", "ReadLeftovers", "s3:GetObject", LEFT),
    ("RunPartRole", "StoreSegment", "s3:GetObject", Batch),
    ("RunPartRole", "StoreSegment", "s3:PutObject", Batch),
    ("RunPartRole", "ListSegments", "s3:ListBucket", Batch),
    ("RunPartRole", "ReadGivenSources", "s3:GetObject", BatchElsewhere),
    ("RunPartRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("RunPartRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("RunPartRole", "ReadTargetsAndBudgets", "dynamodb:BatchGetItem", OTHER_KEYS),
    ("RunPartRole", "ReserveFromBudgets", "dynamodb:UpdateItem", OTHER_KEYS),
    ("RunPartRole", "ReportHealthOfTargets", "dynamodb:PutItem", OTHER_KEYS),
    ("RunPartRole", "ReportHealthOfTargets", "dynamodb:UpdateItem", OTHER_KEYS),
    ("RunPartRole", "ReadProgressAndCalls", "dynamodb:Query", Batch),
    ("RunPartRole", "OwnPart", "dynamodb:UpdateItem", OTHER_KEYS),
    ("RunPartRole", "HaltBatch", "dynamodb:UpdateItem", OTHER_KEYS),
    ("RunPartRole", "LogCalls", "dynamodb:PutItem", OTHER_KEYS),
    ("RunPartRole", "PlaceRuns", "dynamodb:BatchWriteItem", Batch),
    ("RunPartRole", "UseResponseCache", "dynamodb:BatchGetItem", OTHER_KEYS),
    ("RunPartRole", "UseResponseCache", "dynamodb:PutItem", OTHER_KEYS),
    ("RunPartRole", "CallClaude", "bedrock:InvokeModelWithResponseStream", AsTheRole),
    ("RunPartRole", "ApplyGuardrail", "bedrock:ApplyGuardrail", GUARDRAIL),
    ("RenderPartRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("RenderPartRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("RenderPartRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("RenderPartRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("RenderPartRole", "ReadBatchAndItems", "s3:GetObject", ITEMS),
    ("RenderPartRole", "ReadGivenSources", "s3:GetObject", GIVEN),
    ("RenderPartRole", "StoreSegment", "s3:GetObject", SEGMENTS),
    ("RenderPartRole", "StoreSegment", "s3:PutObject", SEGMENTS),
    ("RenderPartRole", "WriteRecords", "s3:PutObject", RECORDS),
    ("RenderPartRole", "ListSegments", "s3:ListBucket", LISTING),
    // No budget pays the batch of this test.
    ("RenderPartRole", "ReadBudgets", "dynamodb:BatchGetItem", LEDGER),
    ("RenderPartRole", "ReserveFromBudgets", "dynamodb:UpdateItem", LEDGER),
    ("RenderPartRole", "ReadAllowances", "dynamodb:Query", LEDGER),
    ("RenderPartRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("RenderPartRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("BulkJobRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("BulkJobRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("BulkJobRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("BulkJobRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("BulkJobRole", "ReadBatch", "s3:GetObject", BATCH),
    ("BulkJobRole", "NoteJobs", "s3:PutObject", BATCH),
    ("BulkJobRole", "DistinguishMissingFromForbidden", "s3:ListBucket", BUCKET),
    ("BulkJobRole", "StartJob", "bedrock:CreateModelInvocationJob", JOB),
    ("BulkJobRole", "FollowJob", "bedrock:GetModelInvocationJob", JOB),
    ("BulkJobRole", "FollowJob", "bedrock:StopModelInvocationJob", JOB),
    ("BulkJobRole", "FollowJob", "bedrock:TagResource", JOB),
    ("BulkJobRole", "FindJob", "bedrock:ListModelInvocationJobs", ANY),
    ("BulkJobRole", "PassServiceRole", "iam:PassRole", SERVICE_ROLE),
    ("BulkJobRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("BulkJobRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    // Bedrock uses this role on AWS. The scripted service reads and writes without checking permissions.
    ("BulkServiceRole", "ListRecords", "s3:ListBucket", BUCKET),
    ("BulkServiceRole", "ReadRecords", "s3:GetObject", INPUT),
    ("BulkServiceRole", "WriteAnswers", "s3:PutObject", OUTPUT),
    ("BulkServiceRole", "CallClaude", "bedrock:InvokeModel", CLAUDE),
    ("BulkServiceRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("BulkServiceRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("TakePartRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("TakePartRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("TakePartRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("TakePartRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("TakePartRole", "ReadBatchAndAnswers", "s3:GetObject", TAKES),
    ("TakePartRole", "ListLeftovers", "s3:PutObject", REST),
    ("TakePartRole", "StoreSegment", "s3:GetObject", SEGMENTS),
    ("TakePartRole", "StoreSegment", "s3:PutObject", SEGMENTS),
    ("TakePartRole", "ListSegments", "s3:ListBucket", LISTING),
    ("TakePartRole", "OwnPart", "dynamodb:UpdateItem", OTHER_KEYS),
    ("TakePartRole", "PlaceRuns", "dynamodb:BatchWriteItem", OTHER_KEYS),
    ("TakePartRole", "ReadAllowances", "dynamodb:Query", LEDGER),
    ("TakePartRole", "CommitReservations", "dynamodb:UpdateItem", OTHER_KEYS),
    ("TakePartRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("TakePartRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("ChooseLeftoversRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("ChooseLeftoversRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("ChooseLeftoversRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("ChooseLeftoversRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("ChooseLeftoversRole", "ReadBatch", "s3:GetObject", BATCH),
    ("ChooseLeftoversRole", "ReadSegments", "s3:GetObject", SEGMENTS),
    ("ChooseLeftoversRole", "NoteChoice", "s3:PutObject", LEFTOVERS),
    ("ChooseLeftoversRole", "ListSegments", "s3:ListBucket", LISTING),
    ("ChooseLeftoversRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("ChooseLeftoversRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("CollectPartRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("CollectPartRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("CollectPartRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("CollectPartRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("CollectPartRole", "ReadRuns", "s3:GetObject", Batch),
    ("CollectPartRole", "ReadBatch", "s3:GetObject", Batch),
    ("CollectPartRole", "WriteResults", "s3:PutObject", Batch),
    ("CollectPartRole", "StoreSegment", "s3:GetObject", Batch),
    ("CollectPartRole", "StoreSegment", "s3:PutObject", Batch),
    ("CollectPartRole", "SealPart", "s3:GetObject", Batch),
    ("CollectPartRole", "SealPart", "s3:PutObject", Batch),
    ("CollectPartRole", "SignManifest", "kms:Sign", Batch),
    ("CollectPartRole", "SignManifest", "kms:Verify", SIGNS),
    ("CollectPartRole", "ListSegments", "s3:ListBucket", Batch),
    ("CollectPartRole", "CountPart", "dynamodb:UpdateItem", OTHER_KEYS),
    ("CollectPartRole", "ForgetOwner", "dynamodb:DeleteItem", Batch),
    ("CollectPartRole", "ReadRunsAndCalls", "dynamodb:Query", Batch),
    ("CollectPartRole", "CommitReservations", "dynamodb:UpdateItem", OTHER_KEYS),
    ("CollectPartRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("CollectPartRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("CloseBatchRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("CloseBatchRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("CloseBatchRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("CloseBatchRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("CloseBatchRole", "ReadBatch", "s3:GetObject", Batch),
    ("CloseBatchRole", "SealBatch", "s3:PutObject", Batch),
    ("CloseBatchRole", "DistinguishMissingFromForbidden", "s3:ListBucket", AsTheRole),
    ("CloseBatchRole", "SignManifest", "kms:Sign", Batch),
    ("CloseBatchRole", "SignManifest", "kms:Verify", SIGNS),
    ("CloseBatchRole", "ReadBatchProgress", "dynamodb:Query", Batch),
    ("CloseBatchRole", "CloseRecord", "dynamodb:UpdateItem", Batch),
    ("CloseBatchRole", "ReleaseSlot", "dynamodb:DeleteItem", Batch),
    ("CloseBatchRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("CloseBatchRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    // The emulator's Step Functions does not check permissions, so an execution would succeed without this role.
    ("WorkflowRole", "RunSteps", "lambda:InvokeFunction", AsTheRole),
    ("WorkflowRole", "Notify", "sns:Publish", AsTheRole),
    ("WorkflowRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("WorkflowRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("WorkflowRole", "SendTraces", "xray:GetSamplingRules", TRACES),
    ("WorkflowRole", "SendTraces", "xray:GetSamplingTargets", TRACES),
    ("WorkflowRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("WorkflowRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("WorkflowRole", "DeliverLog", "logs:CreateLogDelivery", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:DeleteLogDelivery", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:DescribeLogGroups", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:DescribeResourcePolicies", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:GetLogDelivery", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:ListLogDeliveries", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:PutResourcePolicy", LOG_DELIVERY),
    ("WorkflowRole", "DeliverLog", "logs:UpdateLogDelivery", LOG_DELIVERY),
    ("FinalizeRole", "RunSteps", "lambda:InvokeFunction", AsTheRole),
    ("FinalizeRole", "DescribeRunOrBatch", "states:DescribeExecution", DESCRIBES),
    ("FinalizeRole", "StartParts", "states:StartExecution", STARTS_FINALIZE),
    ("FinalizeRole", "FollowParts", "states:DescribeExecution", FOLLOWS_PARTS),
    ("FinalizeRole", "FollowParts", "states:StopExecution", FOLLOWS_PARTS),
    ("FinalizeRole", "ReadParts", "s3:GetObject", PARTS),
    ("FinalizeRole", "RecordChildren", "s3:GetObject", AsTheRole),
    ("FinalizeRole", "RecordChildren", "s3:PutObject", AsTheRole),
    ("FinalizeRole", "RecordChildren", "s3:ListMultipartUploadParts", CHILDREN),
    ("FinalizeRole", "RecordChildren", "s3:AbortMultipartUpload", CHILDREN),
    ("FinalizeRole", "Notify", "sns:Publish", AsTheRole),
    ("FinalizeRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("FinalizeRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("FinalizeRole", "SendTraces", "xray:GetSamplingRules", TRACES),
    ("FinalizeRole", "SendTraces", "xray:GetSamplingTargets", TRACES),
    ("FinalizeRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("FinalizeRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("FinalizeRole", "DeliverLog", "logs:CreateLogDelivery", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:DeleteLogDelivery", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:DescribeLogGroups", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:DescribeResourcePolicies", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:GetLogDelivery", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:ListLogDeliveries", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:PutResourcePolicy", LOG_DELIVERY),
    ("FinalizeRole", "DeliverLog", "logs:UpdateLogDelivery", LOG_DELIVERY),
    // The emulator also reads and writes for Maps without checking permissions.
    ("BatchRole", "RunSteps", "lambda:InvokeFunction", AsTheRole),
    ("BatchRole", "StartItemsAndRuns", "states:StartExecution", STARTS),
    ("BatchRole", "FollowItemsAndRuns", "states:DescribeExecution", FOLLOWS),
    ("BatchRole", "FollowItemsAndRuns", "states:StopExecution", FOLLOWS),
    ("BatchRole", "WatchRuns", "events:PutTargets", WATCHES),
    ("BatchRole", "WatchRuns", "events:PutRule", WATCHES),
    ("BatchRole", "WatchRuns", "events:DescribeRule", WATCHES),
    ("BatchRole", "ListPlaces", "s3:ListBucket", AsTheRole),
    ("BatchRole", "ReadPlaces", "s3:GetObject", PLACED),
    ("BatchRole", "RecordChildren", "s3:GetObject", AsTheRole),
    ("BatchRole", "RecordChildren", "s3:PutObject", AsTheRole),
    ("BatchRole", "RecordChildren", "s3:ListMultipartUploadParts", CHILDREN),
    ("BatchRole", "RecordChildren", "s3:AbortMultipartUpload", CHILDREN),
    ("BatchRole", "Notify", "sns:Publish", AsTheRole),
    ("BatchRole", "UseKeyThroughServices", "kms:GenerateDataKey", KMS),
    ("BatchRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("BatchRole", "SendTraces", "xray:GetSamplingRules", TRACES),
    ("BatchRole", "SendTraces", "xray:GetSamplingTargets", TRACES),
    ("BatchRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("BatchRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("BatchRole", "DeliverLog", "logs:CreateLogDelivery", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:DeleteLogDelivery", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:DescribeLogGroups", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:DescribeResourcePolicies", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:GetLogDelivery", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:ListLogDeliveries", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:PutResourcePolicy", LOG_DELIVERY),
    ("BatchRole", "DeliverLog", "logs:UpdateLogDelivery", LOG_DELIVERY),
    // The emulator's EventBridge starts state machines without checking permissions.
    ("FinalizeRuleRole", "StartFinalize", "states:StartExecution", AsTheRole),
    ("SweepRole", "WriteOwnLog", "logs:CreateLogStream", LOG),
    ("SweepRole", "WriteOwnLog", "logs:PutLogEvents", LOG),
    ("SweepRole", "SendTraces", "xray:PutTelemetryRecords", TRACES),
    ("SweepRole", "SendTraces", "xray:PutTraceSegments", TRACES),
    ("SweepRole", "ListExecutions", "states:ListExecutions", SWEPT),
    ("SweepRole", "DescribeEnds", "states:DescribeExecution", ENDED),
    ("SweepRole", "StartFinalize", "states:StartExecution", STARTS_FINALIZE),
    ("SweepRole", "ReadRecords", "dynamodb:BatchGetItem", LEDGER),
    ("SweepRole", "UseKeyThroughServices", "kms:Decrypt", KMS),
    ("ReaderRole", "ReadOwnRuns", "s3:GetObject", AsTheTenant),
    ("ReaderRole", "ListOwnRuns", "s3:ListBucket", LISTING),
    ("ReaderRole", "DecryptOwnRuns", "kms:Decrypt", KMS),
    ("ReaderRole", "VerifySignatures", "kms:GetPublicKey", AsTheTenant),
    ("ScheduleRole", "SendRequest", "sqs:SendMessage", SCHEDULER),
    ("ScheduleRole", "UseKeyThroughQueues", "kms:Decrypt", SCHEDULER),
    ("ScheduleRole", "UseKeyThroughQueues", "kms:GenerateDataKey", SCHEDULER),
];
