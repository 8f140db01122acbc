//! Reads log lines of functions from CloudWatch Logs.

use std::ops::RangeInclusive;

use aws_sdk_cloudwatchlogs::Client;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;

use crate::fault::internal;
use crate::lazily::Lazily;

/// The log groups of the account in the region.
pub struct LogGroups {
    client: Lazily<Client>,
}

/// A log line with the time at which the function wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub at: OffsetDateTime,
    pub text: String,
}

/// Some of the lines that were searched for, oldest first. At most 1 MB. A page may be empty and have a next one.
#[derive(Debug, PartialEq, Eq)]
pub struct LogPage {
    pub lines: Vec<LogLine>,
    /// The token of the next page, or `None` if this is the last one.
    pub next: Option<String>,
}

impl LogGroups {
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Lazily::new(config, Client::new) }
    }

    /// Reads the lines of a log group that contain `term` and were written within `period`. `next` is the token of the
    /// page to read. Returns `None` if there is no such group.
    ///
    /// # Errors
    /// `Bcce.Internal`: CloudWatch Logs cannot be called, or refuses the request.
    pub async fn page(
        &self,
        group: &str,
        term: &str,
        period: &RangeInclusive<OffsetDateTime>,
        next: Option<String>,
    ) -> Result<Option<LogPage>, Fault> {
        let filter = self
            .client
            .get()
            .filter_log_events()
            .log_group_name(group)
            .filter_pattern(format!("\"{term}\""))
            .start_time(milliseconds(*period.start()))
            .end_time(milliseconds(*period.end()))
            .set_next_token(next);
        let output = match filter.send().await {
            Ok(output) => output,
            Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(None),
            Err(error) => return Err(internal(&format!("logs:FilterLogEvents {group}"), &error)),
        };
        let lines = output.events.unwrap_or_default().into_iter().filter_map(|event| {
            let at = i128::from(event.timestamp?) * 1_000_000;
            let at = OffsetDateTime::from_unix_timestamp_nanos(at).ok()?;
            Some(LogLine { at, text: event.message? })
        });
        Ok(Some(LogPage { lines: lines.collect(), next: output.next_token }))
    }
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudwatchlogs::operation::filter_log_events::{
        FilterLogEventsError, FilterLogEventsOutput,
    };
    use aws_sdk_cloudwatchlogs::types::FilteredLogEvent;
    use aws_smithy_mocks::{Rule, mock, mock_client};
    use aws_smithy_types::error::ErrorMetadata;

    async fn page(rule: &Rule) -> Result<Option<LogPage>, Fault> {
        let client = mock_client!(aws_sdk_cloudwatchlogs, [rule]);
        let groups = LogGroups { client: client.into() };
        let at = OffsetDateTime::UNIX_EPOCH;
        let period = at..=at + std::time::Duration::from_millis(1_500);
        groups.page("/aws/lambda/s-invoke", "w-0", &period, Some("t".into())).await
    }

    #[tokio::test]
    async fn a_page_has_the_lines_with_the_term_in_the_period() {
        let rule = mock!(Client::filter_log_events)
            .match_requests(|filter| {
                filter.filter_pattern() == Some("\"w-0\"")
                    && (filter.start_time(), filter.end_time()) == (Some(0), Some(1_500))
                    && filter.next_token() == Some("t")
            })
            .then_output(|| {
                let event = FilteredLogEvent::builder().timestamp(1_000).message("{}").build();
                let empty = FilteredLogEvent::builder().timestamp(1_000).build();
                FilterLogEventsOutput::builder().events(event).events(empty).next_token("u").build()
            });
        let at = OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let lines = vec![LogLine { at, text: "{}".into() }];
        assert_eq!(page(&rule).await, Ok(Some(LogPage { lines, next: Some("u".into()) })));
    }

    #[tokio::test]
    async fn a_group_that_does_not_exist_is_told_apart_from_a_refusal() {
        for (code, expected) in [
            ("ResourceNotFoundException", Ok(None)),
            (
                "AccessDeniedException",
                Err("logs:FilterLogEvents /aws/lambda/s-invoke: AccessDeniedException"),
            ),
        ] {
            let rule = mock!(Client::filter_log_events).then_error(move || {
                FilterLogEventsError::generic(ErrorMetadata::builder().code(code).build())
            });
            let read = page(&rule).await.map_err(|fault| fault.message);
            assert_eq!(read, expected.map_err(str::to_owned), "{code}");
        }
    }
}
