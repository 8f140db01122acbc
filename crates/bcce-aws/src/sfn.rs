//! Starts, describes, lists and stops Step Functions executions.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::retry::RetryConfig;
use aws_sdk_sfn::operation::list_executions::ListExecutionsOutput;
use aws_sdk_sfn::types::ExecutionStatus as SdkStatus;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::batch::BatchRef;
use bcce_core::ports::{
    DescribeEnd, EndedExecution, EndedPage, ListEnded, ListFinalizing, StartBatch, StartFinalize,
    StartRun, Started,
};
use bcce_core::run::ending::ExecutionStatus;
use bcce_core::run::execution_end::{ExecutionEnd, FinalizeEvent};
use bcce_core::run::ids::RunRef;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::fault::internal;

/// The largest page of ListExecutions.
const LARGEST_PAGE: i32 = 1_000;

/// The number of tries of ListExecutions. Step Functions throttles whoever lists hundreds of pages, and refills two
/// requests per second in most regions. Five pauses of up to half a minute together wait for that.
const LIST_TRIES: u32 = 6;

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

    /// Starts an execution whose name Step Functions chooses.
    ///
    /// # Errors
    /// `Bcce.Internal`: the execution cannot be started.
    pub async fn start_with(&self, input: &impl Serialize) -> Result<(), Fault> {
        let input = serde_json::to_string(input).map_err(|e| Fault::internal(e.to_string()))?;
        let start = self.client.start_execution().state_machine_arn(&self.arn);
        let started = start.input(input).send().await;
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

impl StartFinalize for StateMachine {
    async fn start_finalize(&self, name: &str, event: &FinalizeEvent) -> Result<Started, Fault> {
        self.start_once(name, event).await
    }
}

impl DescribeEnd for StateMachine {
    async fn end(&self, name: &str) -> Result<Option<ExecutionEnd>, Fault> {
        let (what, arn) = (format!("states:DescribeExecution {name}"), self.execution_arn(name));
        match Box::pin(self.client.describe_execution().execution_arn(&arn).send()).await {
            Ok(execution) => Ok(Some(ExecutionEnd {
                execution_arn: arn,
                status: execution.status().as_str().to_owned(),
                input: execution.input().map(str::to_owned),
                start_date: millis(&what, execution.start_date())?,
                stop_date: execution.stop_date().map(|at| millis(&what, at)).transpose()?,
                error: execution.error().map(str::to_owned),
                cause: execution.cause().map(str::to_owned),
            })),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(internal(&what, &error)),
        }
    }
}

impl ListEnded for StateMachine {
    async fn ended(
        &self,
        status: ExecutionStatus,
        page: Option<String>,
    ) -> Result<EndedPage, Fault> {
        let status = SdkStatus::from(status.as_str());
        let listed = self.list(status, LARGEST_PAGE, page).await?;
        let executions = listed.executions.iter().filter_map(|execution| {
            let stop_date = execution.stop_date()?;
            Some(ended(execution.name(), execution.start_date(), stop_date))
        });
        Ok(EndedPage { executions: executions.collect::<Result<_, _>>()?, next: listed.next_token })
    }
}

impl ListFinalizing for StateMachine {
    async fn finalizing(&self, most: usize) -> Result<Vec<String>, Fault> {
        let page = i32::try_from(most).unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
        let listed = self.list(SdkStatus::Running, page, None).await?;
        let mut arns = Vec::new();
        for execution in listed.executions {
            let end = self.end(execution.name()).await?;
            let input = end.and_then(|end| end.input).unwrap_or_default();
            // An execution that somebody started with another input counts as well.
            let input: Value = serde_json::from_str(&input).unwrap_or_default();
            let arn = input["detail"]["executionArn"].as_str();
            arns.push(arn.unwrap_or_default().to_owned());
        }
        Ok(arns)
    }
}

impl StateMachine {
    /// Lists a page of the executions with this status, the newest start first.
    async fn list(
        &self,
        status: SdkStatus,
        most: i32,
        page: Option<String>,
    ) -> Result<ListExecutionsOutput, Fault> {
        let list = self.client.list_executions().state_machine_arn(&self.arn);
        let list = list.status_filter(status).max_results(most).set_next_token(page);
        let patient = RetryConfig::standard().with_max_attempts(LIST_TRIES);
        let patient = aws_sdk_sfn::Config::builder().retry_config(patient);
        // Boxed: an SDK future nested in the futures of a handler exceeds the compiler's recursion limit.
        let listed = Box::pin(list.customize().config_override(patient).send()).await;
        listed.map_err(|error| internal("states:ListExecutions", &error))
    }

    async fn start_once(&self, name: &str, input: &impl Serialize) -> Result<Started, Fault> {
        let input = serde_json::to_string(input).map_err(|e| Fault::internal(e.to_string()))?;
        let start = self.client.start_execution().state_machine_arn(&self.arn);
        match Box::pin(start.name(name).input(input).send()).await {
            // Step Functions also answers this way if an execution with this name and input is already running.
            Ok(started) => {
                let since = moment("states:StartExecution: startDate", started.start_date())?;
                Ok(Started::Running { since })
            }
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

fn ended(name: &str, start: &DateTime, stop: &DateTime) -> Result<EndedExecution, Fault> {
    let what = format!("states:ListExecutions {name}");
    Ok(EndedExecution {
        name: name.to_owned(),
        started_at: moment(&what, start)?,
        stopped_at: moment(&what, stop)?,
    })
}

fn moment(what: &str, at: &DateTime) -> Result<OffsetDateTime, Fault> {
    OffsetDateTime::from_unix_timestamp_nanos(at.as_nanos())
        .map_err(|error| Fault::internal(format!("{what}: {error}")))
}

fn millis(what: &str, at: &DateTime) -> Result<i64, Fault> {
    at.to_millis().map_err(|error| Fault::internal(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
    use aws_sdk_sfn::operation::list_executions::ListExecutionsOutput;
    use aws_sdk_sfn::operation::start_execution::{StartExecutionError, StartExecutionOutput};
    use aws_sdk_sfn::operation::stop_execution::StopExecutionError;
    use aws_sdk_sfn::types::ExecutionListItem;
    use aws_sdk_sfn::types::error::{ExecutionAlreadyExists, ExecutionLimitExceeded};
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;
    use serde_json::json;

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
                .status(SdkStatus::TimedOut)
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
        let end = machine(&rule).end("r").await.unwrap().unwrap();
        assert_eq!(serde_json::to_value(end).unwrap(), expected);
    }

    fn item(name: &str, status: SdkStatus) -> ExecutionListItem {
        let at = DateTime::from_millis;
        let item = ExecutionListItem::builder().execution_arn("a").state_machine_arn("m");
        let item = item.name(name).status(status).start_date(at(1_500)).stop_date(at(2_500));
        item.build().unwrap()
    }

    #[tokio::test]
    async fn ended_executions_are_listed_by_status_page_by_page() {
        let rule = mock!(Client::list_executions)
            .match_requests(|list| {
                list.state_machine_arn() == Some("arn:aws:states:us-east-1:1:stateMachine:m")
                    && list.status_filter() == Some(&SdkStatus::TimedOut)
                    && list.max_results() == Some(1_000)
                    && list.next_token() == Some("2")
            })
            .then_output(|| {
                let output = ListExecutionsOutput::builder().next_token("3");
                output.executions(item("r", SdkStatus::TimedOut)).build().unwrap()
            });
        let listed = machine(&rule).ended(ExecutionStatus::TimedOut, Some("2".into())).await;
        let at = |millis| OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_millis(millis);
        let execution =
            EndedExecution { name: "r".into(), started_at: at(1_500), stopped_at: at(2_500) };
        assert_eq!(listed, Ok(EndedPage { executions: vec![execution], next: Some("3".into()) }));
    }

    #[tokio::test]
    async fn executions_that_are_being_finalized_are_found_by_the_input_of_the_machine() {
        let list = mock!(Client::list_executions)
            .match_requests(|list| {
                list.status_filter() == Some(&SdkStatus::Running) && list.max_results() == Some(5)
            })
            .then_output(|| {
                let output =
                    ListExecutionsOutput::builder().executions(item("f", SdkStatus::Running));
                output.executions(item("by-hand", SdkStatus::Running)).build().unwrap()
            });
        let describe = |name: &'static str, input: &'static str| {
            mock!(Client::describe_execution)
                .match_requests(move |it| it.execution_arn().is_some_and(|arn| arn.ends_with(name)))
                .then_output(move || {
                    let output = DescribeExecutionOutput::builder().input(input);
                    let output = output.execution_arn("a").state_machine_arn("m");
                    let output =
                        output.status(SdkStatus::Running).start_date(DateTime::from_secs(0));
                    output.build().unwrap()
                })
        };
        let of_run = describe(":f", r#"{"detail":{"executionArn":"run"}}"#);
        let other = describe(":by-hand", "{}");
        let client = mock_client!(
            aws_sdk_sfn,
            aws_smithy_mocks::RuleMode::MatchAny,
            [&list, &of_run, &other]
        );
        let machine =
            StateMachine { client, arn: "arn:aws:states:us-east-1:1:stateMachine:m".into() };
        assert_eq!(machine.finalizing(5).await, Ok(vec!["run".to_owned(), String::new()]));
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
