//! Sends spans of calls to the X-Ray daemon, which Lambda runs beside each function and which uploads them later.
//!
//! A span is one datagram, so sending it takes microseconds and never waits. A span that does not arrive is missing from
//! the trace and nowhere else: attempts, counters and metrics do not depend on it.

use std::cell::{Cell, OnceCell};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::SystemTime;

use bcce_core::base::trace::TraceHeader;
use bcce_core::call::model::{CallReport, ModelCall};
use bcce_core::call::span::subsegment;
use bcce_core::ports::SendSpan;

use crate::environment::optional_variable;
use crate::serve::current_trace;

/// The first line of each datagram, as the daemon expects it.
const PROTOCOL: &str = "{\"format\":\"json\",\"version\":1}\n";

/// The largest number of spans that one invocation sends. X-Ray cuts a trace at 500 kB, and a part of a packed batch
/// makes thousands of calls of about 1 kB each.
const MAX_SPANS: u32 = 100;

/// The X-Ray daemon. Implements [`SendSpan`].
#[derive(Default)]
pub struct XRay {
    daemon: Option<SocketAddr>,
    /// Opened for the first span. `None` in it means that no socket can be opened.
    socket: OnceCell<Option<UdpSocket>>,
    /// The invocation under way, and the number of its spans.
    sent: Cell<(Option<TraceHeader>, u32)>,
}

impl XRay {
    /// Creates the adapter for the daemon whose address is in `AWS_XRAY_DAEMON_ADDRESS`, as on Lambda. Sends nothing if
    /// the variable is missing or is not an IP address with a port.
    pub fn from_env() -> Self {
        Self::new(optional_variable("AWS_XRAY_DAEMON_ADDRESS").as_deref())
    }

    fn new(address: Option<&str>) -> Self {
        let daemon = address.and_then(|address| address.parse().ok());
        Self { daemon, ..Self::default() }
    }

    /// Returns whether the invocation may send another span, and counts it.
    fn may_send(&self, trace: TraceHeader) -> bool {
        let (of, sent) = self.sent.get();
        let sent = if of == Some(trace) { sent } else { 0 };
        self.sent.set((Some(trace), sent.saturating_add(1)));
        sent < MAX_SPANS
    }

    fn send_datagram(&self, span: &str) {
        let (Some(daemon), Some(socket)) = (self.daemon, self.socket.get_or_init(open)) else {
            return;
        };
        // The result does not matter: the span is lost if the daemon does not take it at once.
        drop(socket.send_to(format!("{PROTOCOL}{span}").as_bytes(), daemon));
    }
}

impl SendSpan for XRay {
    fn send(&self, call: &ModelCall<'_>, report: &CallReport) {
        let trace = current_trace().filter(|trace| trace.is_sampled && self.daemon.is_some());
        let Some(trace) = trace.filter(|trace| self.may_send(*trace)) else { return };
        let ended = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // The seed of each hasher is random.
        let id = RandomState::new().hash_one(ended);
        if let Some(span) = subsegment(&trace, id, call, report, ended) {
            self.send_datagram(&span);
        }
    }
}

/// Opens a socket that never waits.
fn open() -> Option<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use bcce_core::base::target::Target;
    use bcce_core::call::model::{CallLimits, ModelAnswer, Served};
    use bcce_core::call::parameters::Parameters;
    use bcce_core::document::prompt::Prompt;
    use bcce_core::io::traced::Traced;
    use bcce_core::ports::CallModel;
    use serde_json::Value;

    use super::*;
    use crate::serve::set_trace;

    const ROOT: &str = "1-6a4f0c20-0759e988bd862e3fe1be46a9";

    /// A model that answers at once.
    struct Model;

    impl CallModel for Model {
        async fn call(&self, _: &ModelCall<'_>) -> CallReport {
            let (text, stop_reason) = ("hunter2".to_owned(), "end_turn".to_owned());
            CallReport {
                result: Ok(ModelAnswer { text, stop_reason, thought: false }),
                latency: Duration::from_millis(5),
                first_token: None,
                usage: None,
                served: Served::default(),
            }
        }
    }

    /// A daemon that receives datagrams.
    struct Daemon(UdpSocket);

    impl Daemon {
        fn start() -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            Self(socket)
        }

        fn spans(&self) -> XRay {
            XRay::new(Some(&self.0.local_addr().unwrap().to_string()))
        }

        /// Returns the datagrams that have arrived. A datagram of this machine arrives while it is sent.
        fn received(&self) -> Vec<String> {
            let mut bytes = vec![0; 65_536];
            let datagrams =
                std::iter::from_fn(|| self.0.recv(&mut bytes).ok().map(|n| bytes[..n].to_vec()));
            datagrams.map(|datagram| String::from_utf8(datagram).unwrap()).collect()
        }
    }

    fn begin_invocation(parent: u64, sampled: u8) {
        let header = format!("Root={ROOT};Parent={parent:016x};Sampled={sampled}");
        set_trace(TraceHeader::parse(&header));
    }

    async fn call(model: &impl CallModel) -> CallReport {
        let (region, model_id) = ("us-east-1".into(), "us.anthropic.claude-haiku-5-5".into());
        let target = Target { account: None, region, model_id, guardrail: None };
        let time = Duration::from_secs(1);
        let call = ModelCall {
            target: &target,
            prompt: &Prompt { user: "hunter2".into(), ..Prompt::default() },
            repair: None,
            parameters: &Parameters::default(),
            cache: None,
            metadata: BTreeMap::from([("run_id".into(), "explain-1".into())]),
            limits: CallLimits { first_token: time, stall: time, attempt: time },
        };
        model.call(&call).await
    }

    #[tokio::test]
    async fn a_sampled_call_sends_one_datagram_and_another_call_none() {
        let daemon = Daemon::start();
        let traced = Traced { model: Model, spans: daemon.spans() };
        begin_invocation(1, 1);
        let report = call(&traced).await;
        assert_eq!(report, call(&Model).await, "the call is the one of the model");
        let received = daemon.received();
        let [datagram] = &received[..] else { panic!("{received:?}") };
        let (protocol, span) = datagram.split_once('\n').unwrap();
        assert_eq!(protocol, r#"{"format":"json","version":1}"#);
        let span: Value = serde_json::from_str(span).unwrap();
        assert_eq!(
            (&span["trace_id"], &span["parent_id"]),
            (&ROOT.into(), &format!("{:016x}", 1).into())
        );
        assert_eq!(span["annotations"]["bcce_run_id"], "explain-1");
        assert!(!datagram.contains("hunter2"), "{datagram}");
        begin_invocation(2, 0);
        call(&traced).await;
        set_trace(None);
        call(&traced).await;
        assert_eq!(daemon.received(), [] as [String; 0], "no more");
    }

    #[tokio::test]
    async fn an_invocation_sends_a_limited_number_of_spans_with_ids_of_their_own() {
        let daemon = Daemon::start();
        let traced = Traced { model: Model, spans: daemon.spans() };
        for parent in [1, 2] {
            begin_invocation(parent, 1);
            let mut ids = std::collections::BTreeSet::new();
            for _ in 0..MAX_SPANS + 20 {
                call(&traced).await;
                for datagram in daemon.received() {
                    let span: Value =
                        serde_json::from_str(datagram.split_once('\n').unwrap().1).unwrap();
                    ids.insert(span["id"].as_str().unwrap().to_owned());
                }
            }
            assert_eq!(ids.len(), MAX_SPANS as usize);
        }
    }

    #[tokio::test]
    async fn a_missing_daemon_changes_no_call() {
        begin_invocation(1, 1);
        // Port 9 of this machine discards datagrams, or refuses them.
        for address in [None, Some("127.0.0.1:9"), Some("xray:2000"), Some("")] {
            let traced = Traced { model: Model, spans: XRay::new(address) };
            for _ in 0..3 {
                assert_eq!(call(&traced).await, call(&Model).await, "{address:?}");
            }
        }
    }
}
