//! Serves the Lambda Runtime API to one process, and the AWS services that it calls. All of them answer at once.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::candidates::{Candidate, SECRET, SOURCE};

/// The events of one process and its answers so far.
pub struct Session {
    event: fn(usize) -> String,
    is_right: fn(&Value) -> bool,
    most: usize,
    state: Mutex<State>,
    pub over: Notify,
}

#[derive(Default)]
struct State {
    handed: usize,
    at: Option<Instant>,
    /// The time of the first request for an event.
    ready: Option<Instant>,
    /// The time from each event to its answer.
    took: Vec<Duration>,
    wrong: Option<String>,
}

/// The result of a process.
pub struct Seen {
    pub ready: Instant,
    pub took: Vec<Duration>,
}

impl Session {
    pub fn new(candidate: &Candidate, most: usize) -> Arc<Self> {
        let Candidate { event, is_right, .. } = *candidate;
        let (state, over) = (Mutex::default(), Notify::new());
        Arc::new(Self { event, is_right, most, state, over })
    }

    /// Returns the result of the process.
    ///
    /// # Errors
    /// A sentence: an answer was wrong, or the process never asked for an event.
    pub fn seen(&self) -> Result<Seen, String> {
        let mut state = self.state.lock().expect("there is no other thread");
        if let Some(wrong) = state.wrong.take() {
            return Err(wrong);
        }
        let ready = state.ready.ok_or("the function never asked for an event")?;
        Ok(Seen { ready, took: std::mem::take(&mut state.took) })
    }

    /// Returns the next event and its number, or `None` after the last one.
    fn next(&self) -> Option<(usize, String)> {
        let mut state = self.state.lock().expect("there is no other thread");
        state.ready.get_or_insert_with(Instant::now);
        let number = state.handed;
        if number == self.most {
            return None;
        }
        let event = (self.event)(number);
        state.handed += 1;
        state.at = Some(Instant::now());
        Some((number, event))
    }

    fn answered(&self, path: &str, body: &[u8]) {
        let mut state = self.state.lock().expect("there is no other thread");
        let took = state.at.map(|at| at.elapsed()).unwrap_or_default();
        state.took.push(took);
        let answer = serde_json::from_slice(body).unwrap_or_default();
        if !path.ends_with("/response") || !(self.is_right)(&answer) {
            state.wrong = Some(format!("{path}: {}", String::from_utf8_lossy(body)));
        }
        if state.took.len() == self.most || state.wrong.is_some() {
            self.over.notify_one();
        }
    }
}

type Answer = Response<Full<Bytes>>;

/// Serves connections until the listener fails.
pub async fn serve(listener: TcpListener, session: Arc<Session>) {
    while let Ok((connection, _)) = listener.accept().await {
        let _ = connection.set_nodelay(true);
        let session = session.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(session.clone(), request));
            // The connection ends with the process, so the result is ignored.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
        });
    }
}

async fn answer(session: Arc<Session>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = parts.uri.path();
    if path.ends_with("/runtime/invocation/next") {
        return Ok(match session.next() {
            Some((number, event)) => invocation(number, event),
            None => std::future::pending().await,
        });
    }
    if path.contains("/runtime/") {
        session.answered(path, &body);
        return Ok(plain("{\"status\":\"OK\"}".into()).status(202).done());
    }
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    Ok(service(target.unwrap_or_default(), &body))
}

fn invocation(number: usize, event: String) -> Answer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = (now + Duration::from_secs(60)).as_millis().to_string();
    plain(event)
        .header("lambda-runtime-aws-request-id", &format!("r-{number}"))
        .header("lambda-runtime-deadline-ms", &deadline)
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f",
        )
        .done()
}

/// Returns the answer of a service. A request without a target is a write or a read of an object in S3.
fn service(target: &str, body: &[u8]) -> Answer {
    let reported = match target.rsplit('.').next().unwrap_or_default() {
        "SendMessage" => {
            json!({ "MessageId": "m", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e" })
        }
        "StartExecution" => json!({ "executionArn": "arn:e", "startDate": 1_793_534_400 }),
        "GetParameters" => {
            let asked: Value = serde_json::from_slice(body).unwrap_or_default();
            json!({ "Parameters": [{ "Name": asked["Names"][0], "Value": SECRET }] })
        }
        "GetParametersByPath" => {
            let asked: Value = serde_json::from_slice(body).unwrap_or_default();
            let (name, value) = match asked["Path"].as_str() {
                Some("/bcce/dev/workflows") => ("/bcce/dev/workflows/explain", "{}"),
                _ => ("/bcce/dev/webhooks/github", SOURCE),
            };
            json!({ "Parameters": [{ "Name": name, "Value": value }] })
        }
        _ => return plain(String::new()).header("etag", "\"e\"").done(),
    };
    plain(reported.to_string()).header("content-type", "application/x-amz-json-1.1").done()
}

struct Plain(Answer);

fn plain(body: String) -> Plain {
    Plain(Response::new(Full::new(body.into())))
}

impl Plain {
    fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = value.parse() {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    fn status(mut self, status: u16) -> Self {
        *self.0.status_mut() = status.try_into().unwrap_or_default();
        self
    }

    fn done(self) -> Answer {
        self.0
    }
}
