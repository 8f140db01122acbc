//! Starts, describes and stops Step Functions executions.

use aws_sdk_sfn::Client;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchRef;
use bcce_core::ports::{StartBatch, StartRun, Started};
use bcce_core::run::ids::RunRef;
use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::fault::internal;

/// A state machine of the stack.
pub struct StateMachine {
    client: Client,
    arn: String,
}

impl StateMachine {
    /// Creates the adapter for the state machine with this ARN.
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Client::new(config), arn: arn.to_owned() }
    }

    /// Creates the adapter for another state machine, with the same client.
    pub fn with_arn(&self, arn: &str) -> Self {
        Self { client: self.client.clone(), arn: arn.to_owned() }
    }

    /// Returns the ARN of the execution named `name`.
    pub fn execution_arn(&self, name: &str) -> String {
        format!("{}:{name}", self.arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// Returns the status of an execution in the spelling of Step Functions, such as `RUNNING`, or `None` if no
    /// execution has that name.
    ///
    /// # Errors
    /// `Bcce.Internal`: Step Functions cannot be called.
    pub async fn status(&self, name: &str) -> Result<Option<String>, Fault> {
        let arn = self.execution_arn(name);
        match self.client.describe_execution().execution_arn(&arn).send().await {
            Ok(execution) => Ok(Some(execution.status().as_str().to_owned())),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(internal(&format!("states:DescribeExecution {name}"), &error)),
        }
    }

    /// Stops an execution. Does nothing if the execution has ended.
    ///
    /// # Errors
    /// `Bcce.Internal`: Step Functions cannot be called, or no execution has that name.
    pub async fn stop(&self, name: &str, cause: &str) -> Result<(), Fault> {
        let stop = self.client.stop_execution().execution_arn(self.execution_arn(name));
        match stop.cause(cause).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("ValidationException") => Ok(()),
            Err(error) => Err(internal(&format!("states:StopExecution {name}"), &error)),
        }
    }

    /// Describes an execution in the form of the EventBridge event for its end. Returns `None` if no execution has that
    /// name. A description without `stopDate` means that the execution has not ended.
    ///
    /// # Errors
    /// `Bcce.Internal`: Step Functions cannot be called.
    pub async fn end(&self, name: &str) -> Result<Option<Value>, Fault> {
        let arn = self.execution_arn(name);
        let execution = match self.client.describe_execution().execution_arn(&arn).send().await {
            Ok(execution) => execution,
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => return Ok(None),
            Err(error) => {
                return Err(internal(&format!("states:DescribeExecution {name}"), &error));
            }
        };
        let mut detail = json!({
            "executionArn": arn,
            "status": execution.status().as_str(),
            "input": execution.input(),
            "startDate": execution.start_date().to_millis().ok(),
        });
        let optional = [
            ("stopDate", execution.stop_date().and_then(|at| at.to_millis().ok()).map(Value::from)),
            ("error", execution.error().map(Value::from)),
            ("cause", execution.cause().map(Value::from)),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                detail[name] = value;
            }
        }
        Ok(Some(detail))
    }

    /// Starts an execution whose name Step Functions chooses.
    ///
    /// # Errors
    /// `Bcce.Internal`: the execution cannot be started.
    pub async fn start_with(&self, input: &Value) -> Result<(), Fault> {
        let start = self.client.start_execution().state_machine_arn(&self.arn);
        let started = start.input(input.to_string()).send().await;
        started.map(|_| ()).map_err(|error| internal("states:StartExecution", &error))
    }
}

impl StartRun for StateMachine {
    async fn start(&self, run: &RunRef) -> Result<Started, Fault> {
        self.start_once(&run.execution_name(), run).await
    }
}

impl StartBatch for StateMachine {
    async fn start_batch(&self, batch: &BatchRef) -> Result<Started, Fault> {
        self.start_once(&batch.execution_name(), batch).await
    }
}

impl StateMachine {
    async fn start_once(&self, name: &str, input: &impl Serialize) -> Result<Started, Fault> {
        let input = serde_json::to_string(input).map_err(|e| Fault::internal(e.to_string()))?;
        let start = self.client.start_execution().state_machine_arn(&self.arn);
        match start.name(name).input(input).send().await {
            // Step Functions also answers this way if an execution with this name and input is already running.
            Ok(started) => Ok(Started::Running { since: moment(started.start_date())? }),
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

fn moment(at: &DateTime) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos())
        .map_err(|error| Fault::internal(format!("states:StartExecution: startDate: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
    use aws_sdk_sfn::operation::start_execution::{StartExecutionError, StartExecutionOutput};
    use aws_sdk_sfn::operation::stop_execution::StopExecutionError;
    use aws_sdk_sfn::types::ExecutionStatus;
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
                let date = DateTime::from_millis(1_500);
                StartExecutionOutput::builder().execution_arn("a").start_date(date).build().unwrap()
            });
        let since = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_millis(1_500);
        assert_eq!(start(rule).await, Ok(Started::Running { since }));
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

    fn machine(rule: &aws_smithy_mocks::Rule) -> StateMachine {
        let arn = "arn:aws:states:us-east-1:1:stateMachine:m".to_owned();
        StateMachine { client: mock_client!(aws_sdk_sfn, [rule]), arn }
    }

    #[tokio::test]
    async fn stopping_an_ended_execution_is_no_error() {
        let meta = ErrorMetadata::builder().code("ValidationException").build();
        let rule = mock!(Client::stop_execution)
            .match_requests(|stop| {
                stop.execution_arn() == Some("arn:aws:states:us-east-1:1:execution:m:r-r2")
                    && stop.cause() == Some("by hand")
            })
            .then_error(move || StopExecutionError::generic(meta.clone()));
        assert_eq!(machine(&rule).stop("r-r2", "by hand").await, Ok(()));
    }

    #[tokio::test]
    async fn an_end_has_the_form_of_an_eventbridge_event() {
        let rule = mock!(Client::describe_execution).then_output(|| {
            let at = aws_smithy_types::DateTime::from_millis;
            DescribeExecutionOutput::builder()
                .execution_arn("a")
                .state_machine_arn("m")
                .status(ExecutionStatus::TimedOut)
                .input("{}")
                .start_date(at(1_500))
                .stop_date(at(2_500))
                .build()
                .unwrap()
        });
        let expected = json!({
            "executionArn": "arn:aws:states:us-east-1:1:execution:m:r",
            "status": "TIMED_OUT", "input": "{}", "startDate": 1_500, "stopDate": 2_500,
        });
        assert_eq!(machine(&rule).end("r").await, Ok(Some(expected)));
    }

    #[tokio::test]
    async fn a_machine_is_started_with_any_input() {
        let rule = mock!(Client::start_execution)
            .match_requests(|start| start.name().is_none() && start.input() == Some("{\"a\":1}"))
            .then_output(|| {
                let date = aws_smithy_types::DateTime::from_secs(0);
                StartExecutionOutput::builder().execution_arn("a").start_date(date).build().unwrap()
            });
        assert_eq!(machine(&rule).start_with(&json!({ "a": 1 })).await, Ok(()));
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
