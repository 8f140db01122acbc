//! Executions.

use aws_sdk_sfn::Client;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::error::Fault;
use bcce_core::ports::{StartRun, Started};
use bcce_core::run::RunRef;

use crate::fault::internal;

pub struct StateMachine {
    client: Client,
    arn: String,
}

impl StateMachine {
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Client::new(config), arn: arn.to_owned() }
    }

    /// ARN of the execution of that name.
    pub fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// Status of an execution as Step Functions spells it; `None`: there is none of that name.
    pub async fn status(&self, name: &str) -> Result<Option<String>, Fault> {
        let arn = self.execution_arn(name);
        match self.client.describe_execution().execution_arn(&arn).send().await {
            Ok(execution) => Ok(Some(execution.status().as_str().to_owned())),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(internal(&format!("states:DescribeExecution {name}"), &error)),
        }
    }
}

impl StartRun for StateMachine {
    async fn start(&self, run: &RunRef) -> Result<Started, Fault> {
        let name = run.execution_name();
        let input = serde_json::to_string(run).map_err(|e| Fault::internal(e.to_string()))?;
        let start = self.client.start_execution().state_machine_arn(&self.arn);
        match start.name(&name).input(input).send().await {
            Ok(_) => Ok(Started::New),
            Err(error) => match error.code() {
                Some("ExecutionAlreadyExists") => Ok(Started::Existed),
                Some(
                    "ThrottlingException" | "TooManyRequestsException" | "ExecutionLimitExceeded",
                ) => Ok(Started::Throttled),
                _ => Err(internal(&format!("states:StartExecution {name}"), &error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sfn::operation::start_execution::{StartExecutionError, StartExecutionOutput};
    use aws_sdk_sfn::types::error::{ExecutionAlreadyExists, ExecutionLimitExceeded};
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    async fn start(rule: aws_smithy_mocks::Rule) -> Result<Started, Fault> {
        let client = mock_client!(aws_sdk_sfn, [&rule]);
        let arn = "arn:aws:states:us-east-1:1:stateMachine:m".to_owned();
        StateMachine { client, arn }.start(&RunRef::first("default", "explain", "42")).await
    }

    #[tokio::test]
    async fn the_execution_is_named_after_the_run() {
        let rule = mock!(Client::start_execution)
            .match_requests(|start| {
                start.name() == Some("explain-f7ba4ad77505bd08f0457f0dca60c468")
                    && start.input().is_some_and(|input| input.contains(r#""attempt_no":1"#))
            })
            .then_output(|| {
                let date = aws_smithy_types::DateTime::from_secs(0);
                StartExecutionOutput::builder().execution_arn("a").start_date(date).build().unwrap()
            });
        assert_eq!(start(rule).await, Ok(Started::New));
    }

    #[tokio::test]
    async fn a_taken_name_is_no_error() {
        let meta = ErrorMetadata::builder().code("ExecutionAlreadyExists").build();
        let error = ExecutionAlreadyExists::builder().meta(meta).build();
        let rule = mock!(Client::start_execution)
            .then_error(move || StartExecutionError::ExecutionAlreadyExists(error.clone()));
        assert_eq!(start(rule).await, Ok(Started::Existed));
    }

    #[tokio::test]
    async fn too_many_starts_are_a_throttle() {
        let meta = ErrorMetadata::builder().code("ExecutionLimitExceeded").build();
        let error = ExecutionLimitExceeded::builder().meta(meta).build();
        let rule = mock!(Client::start_execution)
            .then_error(move || StartExecutionError::ExecutionLimitExceeded(error.clone()));
        assert_eq!(start(rule).await, Ok(Started::Throttled));
    }

    #[tokio::test]
    async fn an_execution_arn_follows_from_the_machines() {
        let machine = StateMachine {
            client: mock_client!(aws_sdk_sfn, []),
            arn: "arn:aws:states:us-east-1:1:stateMachine:stateMachine:x".into(),
        };
        assert_eq!(
            machine.execution_arn("r"),
            "arn:aws:states:us-east-1:1:execution:stateMachine:x:r"
        );
    }
}
