//! The log of a function: a line of JSON for each event, with the trace id of the invocation.

use std::fmt::Result;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::current_trace;

/// Writes the log to standard error, which Lambda stores.
pub fn log_to_stderr() {
    log_to(std::io::stderr).init();
}

/// Returns a log of the events that [`is_written`].
fn log_to(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> impl SubscriberInitExt {
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .map_event_format(WithTraceId);
    let filter: FilterFn = filter_fn(is_written);
    tracing_subscriber::registry().with(filter).with(lines)
}

/// Returns true for the events of the log. The SDK's events contain bodies at debug level. No span is written, and the
/// runtime's span of each invocation would cost time.
fn is_written(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.is_event() && !metadata.target().starts_with("aws_");
    is_ours && *metadata.level() <= Level::INFO
}

/// Adds the field `trace_id` to the JSON object that another format writes.
struct WithTraceId<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithTraceId<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let Some(trace) = current_trace() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_suffix("}\n") {
            Some(fields) => writeln!(writer, r#"{fields},"trace_id":"{}"}}"#, trace.trace_id),
            None => writer.write_str(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use bcce_core::base::trace::TraceHeader;
    use serde_json::Value;

    use super::*;
    use crate::serve::traced::set_trace;

    const HEADER: &str =
        "Root=1-6a4f0c20-0759e988bd862e3fe1be46a9;Parent=53995c3f42cd8ad8;Sampled=0";

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the lines that `write` logs.
    fn lines(write: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let logging = log_to(move || writer.clone()).set_default();
        write();
        drop(logging);
        let written = written.0.lock().unwrap();
        let lines = std::str::from_utf8(&written).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_line_of_an_invocation_has_its_trace_id() {
        let lines = lines(|| {
            tracing::info!("before the first invocation");
            set_trace(TraceHeader::parse(HEADER));
            let span = tracing::info_span!("Lambda runtime invoke", xrayTraceId = HEADER);
            span.in_scope(|| tracing::warn!(run_id = "explain-1", "a \"quoted\" {{text}}"));
            set_trace(TraceHeader::parse("Root=1-\",\"level\":\"ERROR;Sampled=1"));
            tracing::info!("another invocation");
        });
        let ids: Vec<&Value> = lines.iter().map(|line| &line["trace_id"]).collect();
        let expected = Value::from("1-6a4f0c20-0759e988bd862e3fe1be46a9");
        assert_eq!(ids, [&Value::Null, &expected, &Value::Null]);
        assert_eq!(lines[1]["message"], "a \"quoted\" {text}");
        assert_eq!(lines[1]["run_id"], "explain-1");
        assert_eq!(lines[1].as_object().unwrap().len(), 5, "{}", lines[1]);
    }

    #[test]
    fn events_of_the_sdk_and_details_are_not_written() {
        let lines = lines(|| {
            tracing::info!(target: "aws_smithy_runtime::client", "a body");
            tracing::debug!("a detail");
        });
        assert_eq!(lines, [] as [Value; 0]);
    }
}
