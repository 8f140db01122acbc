//! The metrics of AWS that an alarm or a widget may refer to, with the page that documents each.

/// The namespace, the name, the dimension and the unit of a metric.
type Metric = (&'static str, &'static str, &'static str, &'static str);

pub const METRICS: [Metric; 9] = [
    // https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring.html
    ("AWS/Bedrock", "InvocationLatency", "ModelId", "Milliseconds"),
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    ("AWS/Events", "FailedInvocations", "RuleName", "Count"),
    // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    ("AWS/Lambda", "Errors", "FunctionName", "Count"),
    // https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html
    ("AWS/Lambda", "Url5xxCount", "FunctionName", "Count"),
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", "Seconds"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "Count"),
    // https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    ("AWS/States", "ExecutionsAborted", "StateMachineArn", "Count"),
    ("AWS/States", "ExecutionsFailed", "StateMachineArn", "Count"),
    ("AWS/States", "ExecutionsTimedOut", "StateMachineArn", "Count"),
];
