//! Sends a reply as an HTTP response, including broken ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;

use super::caller;
use super::hold::Holds;
use super::stream::{self as events, Piece};

/// The longest silence. It exceeds the timeout of every client here, but it ends a forgotten connection.
const SILENCE: Duration = Duration::from_secs(600);
/// The time between two checks whether a call is still held.
const PAUSE: Duration = Duration::from_millis(100);
/// The number of checks for each token that a held call sends.
const PAUSES_PER_TOKEN: u128 = 5;
/// The pause before a connection is broken. Without it, hyper would drop data that it has not written yet.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// The pause before a function is killed. It gives the function the time to log the call in the ledger, which may take
/// two seconds.
const BEFORE_KILL: Duration = Duration::from_millis(2_100);

#[derive(Debug)]
pub enum Reply {
    /// The body of a Converse response.
    Json(Vec<Piece>),
    /// The body of a ConverseStream response.
    Events(Vec<Piece>),
    Refused(Refusal),
    Reset,
    Silent,
}

/// An error response.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub retry_after_s: Option<u64>,
}

impl Refusal {
    pub fn validation(message: String) -> Self {
        let (status, code) = (400, "ValidationException");
        Self { status, code, message, retry_after_s: None }
    }

    pub fn no_such_path(path: &str) -> Self {
        let message = format!(
            "unknown path {path}: expected /<region>/model/<model id>/converse[-stream], \
             /<region>/model-invocation-job, /<region>/inference-profiles, /<region>/foundation-models, /<region>/foundation-model-availability, \
             /<region>/guardrails, /<region>/data-retention, /__health, /__calls, /__count, /__release, /__plant or /__jobs"
        );
        let (status, code) = (404, "UnknownOperationException");
        Self { status, code, message, retry_after_s: None }
    }
}

/// The error that makes hyper close the connection, as the script requires.
#[derive(Debug)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script breaks the connection here")
    }
}

impl std::error::Error for Broken {}

pub type Body = UnsyncBoxBody<Bytes, Broken>;

impl Reply {
    /// Returns the HTTP response. `peer` is the address of the client, which an action can kill.
    ///
    /// # Errors
    /// [`Broken`] if the connection must be closed without a response.
    pub async fn into_response(
        self,
        peer: Option<SocketAddr>,
        holds: Arc<Holds>,
    ) -> Result<Response<Body>, Broken> {
        match self {
            Self::Json(pieces) => Ok(streamed("application/json", pieces, peer, holds)),
            Self::Events(pieces) => {
                Ok(streamed("application/vnd.amazon.eventstream", pieces, peer, holds))
            }
            Self::Refused(refusal) => Ok(refused(&refusal)),
            Self::Reset => Err(Broken),
            Self::Silent => {
                tokio::time::sleep(SILENCE).await;
                Err(Broken)
            }
        }
    }
}

/// Returns a response with a complete body.
pub fn whole(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, content_type.parse().expect("the constant is valid"));
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let body = json!({ "message": refusal.message }).to_string();
    let mut response = whole("application/json", body);
    *response.status_mut() =
        refusal.status.try_into().expect("the statuses in the table are valid");
    let headers = response.headers_mut();
    headers.insert(
        "x-amzn-ErrorType",
        refusal.code.parse().expect("the codes in the table are valid"),
    );
    if let Some(seconds) = refusal.retry_after_s {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn streamed(
    content_type: &'static str,
    pieces: Vec<Piece>,
    peer: Option<SocketAddr>,
    holds: Arc<Holds>,
) -> Response<Body> {
    let frames = stream::iter(pieces).flat_map(move |piece| match piece {
        Piece::Held(name) => held(name, holds.clone()).boxed(),
        piece => stream::once(send(piece, peer)).filter_map(std::future::ready).boxed(),
    });
    whole(content_type, Bytes::new()).map(|_| BodyExt::boxed_unsync(StreamBody::new(frames)))
}

/// Returns empty tokens at intervals until `name` is released, so that the client does not detect a stall.
fn held(name: String, holds: Arc<Holds>) -> impl Stream<Item = Result<Frame<Bytes>, Broken>> {
    let tokens = stream::unfold(0_u128, move |pauses| {
        let is_over = holds.is_released(&name) || pauses * PAUSE.as_millis() > SILENCE.as_millis();
        async move {
            if is_over {
                return None;
            }
            tokio::time::sleep(PAUSE).await;
            let token = pauses.is_multiple_of(PAUSES_PER_TOKEN);
            Some((token.then(|| Ok(Frame::data(events::empty_token()))), pauses + 1))
        }
    });
    tokens.filter_map(std::future::ready)
}

async fn send(piece: Piece, peer: Option<SocketAddr>) -> Option<Result<Frame<Bytes>, Broken>> {
    let wait = match piece {
        Piece::Bytes(bytes) => return Some(Ok(Frame::data(bytes))),
        Piece::Pause(pause) => {
            tokio::time::sleep(pause).await;
            return None;
        }
        Piece::Held(_) => unreachable!("`streamed` handles held pieces"),
        Piece::Hang => SILENCE,
        Piece::Break => BEFORE_BREAK,
        Piece::Kill => BEFORE_KILL,
    };
    tokio::time::sleep(wait).await;
    if let (Piece::Kill, Some(peer)) = (piece, peer) {
        caller::kill(peer);
    }
    Some(Err(Broken))
}
