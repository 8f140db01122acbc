//! Serves the Lambda Runtime API to one process, and the AWS services that it calls. All of them answer at once, the
//! services as in the recording.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::candidates::{Candidate, Kind};
use crate::recording::{Exchange, Invocation, Replay, Request, is_alike};
use crate::usage::cpu;

/// The time that an invocation has, by the deadline of the Runtime API.
const INVOCATION: Duration = Duration::from_secs(900);

/// The limit of a session: it is over after a number of events, or after a time and at least [`AT_LEAST`] events.
#[derive(Clone, Copy)]
pub struct Limit {
    pub events: usize,
    pub time: Duration,
}

/// The fewest events that are timed, however long they take.
const AT_LEAST: usize = 20;

/// The events of one process, its answers and its times.
pub struct Session {
    limit: Limit,
    /// Answers of a handler that does nothing are not compared.
    is_checked: bool,
    state: RefCell<State>,
    /// Notified when the process waits for an event that it does not get, or when an answer is wrong.
    pub over: Notify,
}

struct State {
    replay: Replay<'static>,
    expected: Option<&'static Invocation>,
    handed: usize,
    at: Option<Instant>,
    process: Option<u32>,
    cpu: Duration,
    seen: Seen,
}

/// The times and the mistakes of a process.
#[derive(Default)]
pub struct Seen {
    /// The time of the first request for an event.
    pub ready: Option<Instant>,
    /// The time from each event to its answer.
    pub took: Vec<Duration>,
    /// The CPU time from each event to the request for the next one.
    pub cpu: Vec<Duration>,
    /// A wrong answer, or a request that was not recorded.
    pub wrong: Option<String>,
}

impl Session {
    pub fn new(candidate: &Candidate, limit: Limit) -> Rc<Self> {
        let replay = Replay::new(candidate.scene, candidate.exchanges);
        let is_checked = candidate.kind != Kind::Nothing;
        let state = State {
            replay,
            expected: None,
            handed: 0,
            at: None,
            process: None,
            cpu: Duration::ZERO,
            seen: Seen::default(),
        };
        Rc::new(Self { limit, is_checked, state: state.into(), over: Notify::new() })
    }

    /// Measures the CPU time of the process with this id.
    pub fn watch(&self, process: u32) {
        self.state.borrow_mut().process = Some(process);
    }

    /// Returns the result of the process.
    pub fn seen(&self) -> Seen {
        std::mem::take(&mut self.state.borrow_mut().seen)
    }

    /// Returns the next event and its number, or `None` after the last one.
    fn next(&self) -> Option<(usize, String)> {
        let mut state = self.state.borrow_mut();
        let ready = *state.seen.ready.get_or_insert_with(Instant::now);
        if let Some(process) = state.process {
            let (before, now) = (state.cpu, cpu(process));
            if state.handed > 0 {
                state.seen.cpu.push(now.saturating_sub(before));
            }
            state.cpu = now;
        }
        let is_late = state.handed >= AT_LEAST && ready.elapsed() > self.limit.time;
        if is_late || state.handed == self.limit.events {
            self.over.notify_one();
            return None;
        }
        let number = state.handed;
        let invocation = state.replay.start(number);
        let event = invocation.event_at(SystemTime::now());
        state.expected = Some(invocation);
        state.handed += 1;
        state.at = Some(Instant::now());
        Some((number, event))
    }

    fn answered(&self, path: &str, body: &[u8]) {
        let mut state = self.state.borrow_mut();
        let took = state.at.map(|at| at.elapsed()).unwrap_or_default();
        state.seen.took.push(took);
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let expected = state.expected.map(|invocation| &invocation.answer);
        let is_right =
            !self.is_checked || expected.is_some_and(|expected| is_alike(&answer, expected));
        if !path.ends_with("/response") || !is_right {
            self.fail(&mut state, format!("{path}: {}", String::from_utf8_lossy(body)));
        }
    }

    fn fail(&self, state: &mut State, wrong: String) {
        state.seen.wrong.get_or_insert(wrong);
        self.over.notify_one();
    }

    fn service(&self, request: &Request<'_>) -> Answer {
        let mut state = self.state.borrow_mut();
        if let Some(exchange) = state.replay.find(request) {
            return recorded(exchange);
        }
        let Request { method, path, target, .. } = request;
        let target = target.unwrap_or_default();
        self.fail(&mut state, format!("was not recorded: {method} {path} {target}"));
        Reply::new(String::new()).status(400).0
    }
}

type Answer = Response<Full<Bytes>>;

/// Returns the acceptor of TLS connections with a certificate and its key, in PEM.
///
/// # Errors
/// A sentence: the certificate or the key cannot be used.
pub fn acceptor([certificate, key]: &[String; 2]) -> Result<TlsAcceptor, String> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    let provider = tokio_rustls::rustls::crypto::ring::default_provider().into();
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key));
    Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| error.to_string())?)))
}

/// Serves connections until the future is dropped. The Runtime API has no TLS, so that `tls` is for a second listener.
pub async fn serve(listener: TcpListener, session: Rc<Session>, tls: Option<TlsAcceptor>) {
    while let Ok((connection, _)) = listener.accept().await {
        let _ = connection.set_nodelay(true);
        let (session, tls) = (session.clone(), tls.clone());
        tokio::task::spawn_local(async move {
            match tls {
                None => serve_connection(connection, session).await,
                // A failed handshake fails the call of the function.
                Some(tls) => {
                    if let Ok(connection) = tls.accept(connection).await {
                        serve_connection(connection, session).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection(connection: impl AsyncRead + AsyncWrite + Unpin, session: Rc<Session>) {
    let service = service_fn(|request| answer(session.clone(), request));
    // The connection ends with the process, so the result is ignored.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn answer(
    session: Rc<Session>,
    request: hyper::Request<Incoming>,
) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.ends_with("/runtime/invocation/next") {
        return Ok(match session.next() {
            Some((number, event)) => invocation(number, event),
            None => std::future::pending().await,
        });
    }
    if path.contains("/runtime/") {
        session.answered(path, &body);
        return Ok(Reply::new("{\"status\":\"OK\"}".to_owned()).status(202).0);
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let request = Request { method: parts.method.as_str(), path, target, body: &body };
    Ok(session.service(&request))
}

/// The trace header of each invocation. X-Ray records the trace, so that the figures include the spans of calls.
const TRACE: &str = "Root=1-6a4f0c20-0759e988bd862e3fe1be46a9;Parent=53995c3f42cd8ad8;Sampled=1";

fn invocation(number: usize, event: String) -> Answer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let function = "arn:aws:lambda:us-east-1:000000000000:function:f";
    Reply::new(event)
        .header("lambda-runtime-aws-request-id", &format!("r-{number}"))
        .header("lambda-runtime-deadline-ms", &(now + INVOCATION).as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", function)
        .header("lambda-runtime-trace-id", TRACE)
        .0
}

fn recorded(exchange: &Exchange) -> Answer {
    let answer = Reply::new(exchange.body_at(SystemTime::now())).status(exchange.status);
    exchange.headers.iter().fold(answer, |answer, (name, value)| answer.header(name, value)).0
}

struct Reply(Answer);

impl Reply {
    fn new(body: impl Into<Bytes>) -> Self {
        Self(Response::new(Full::new(body.into())))
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), value.parse()) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    fn status(mut self, status: u16) -> Self {
        *self.0.status_mut() = status.try_into().unwrap_or_default();
        self
    }
}
