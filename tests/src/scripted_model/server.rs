//! Accepts connections and routes requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::control::{Asked, ControlPlane};
use super::jobs::Jobs;
use super::model::Model;
use super::path::{Operation, percent_decode};
use super::quotas;
use super::reply::{Body, Broken, Refusal, Reply, whole};

/// The largest body, in bytes. It exceeds Bedrock's limit, so that a limit that a test reaches is the product's.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Serves connections and never returns. A failed connection affects only its client.
pub async fn serve(listener: TcpListener, model: Arc<Model>, jobs: Arc<Jobs>) {
    let control = Arc::new(ControlPlane::new(jobs, model.plants.clone()));
    loop {
        match listener.accept().await {
            Ok((connection, peer)) => {
                tokio::spawn(attend(connection, peer, model.clone(), control.clone()));
            }
            // The likely cause is a lack of file descriptors. Open connections will free some.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn attend(
    connection: TcpStream,
    peer: SocketAddr,
    model: Arc<Model>,
    control: Arc<ControlPlane>,
) {
    // Without this option, small frames would wait for the client's delayed acknowledgement. An error means that the
    // client has disconnected, which serving the connection detects.
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| receive(model.clone(), control.clone(), peer, request));
    // The server breaks connections on purpose, so the result is ignored.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn receive(
    model: Arc<Model>,
    control: Arc<ControlPlane>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let Ok(body) = body.map(|body| body.to_bytes()) else {
        let message = format!("The body did not arrive or is longer than {MAX_BODY_BYTES} bytes.");
        let refused = Reply::Refused(Refusal::validation(message));
        return refused.into_response(None, model.holds.clone()).await;
    };
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let target = parts.headers.get(quotas::TARGET.0).and_then(|target| target.to_str().ok());
    let asked = Asked {
        method: parts.method.as_str(),
        path: parts.uri.path_and_query().map_or(path, |whole| whole.as_str()),
        target,
        body: &body,
    };
    match control.answer(&asked).await {
        Some(Ok(value)) => return Ok(whole("application/json", value.to_string())),
        Some(Err(refusal)) => {
            return Reply::Refused(refusal).into_response(None, Arc::default()).await;
        }
        None => {}
    }
    respond(&model, Some(peer), &parts.method, path, query, &body).await
}

async fn respond(
    model: &Model,
    peer: Option<SocketAddr>,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Result<Response<Body>, Broken> {
    match (method.as_str(), path) {
        ("GET", "/__health") => return Ok(whole("text/plain", "ok\n")),
        ("GET", "/__calls") => {
            let calls = model.calls(asked_for("run", query).as_deref());
            return Ok(whole("application/json", calls.to_string()));
        }
        ("GET", "/__count") => return Ok(whole("text/plain", model.count().to_string())),
        ("POST", "/__release") => {
            model.holds.release(&asked_for("hold", query).unwrap_or_default());
            return Ok(whole("text/plain", "released\n"));
        }
        _ => {}
    }
    let operation = Operation::parse(path).filter(|_| method == Method::POST);
    let refused = || Reply::Refused(Refusal::no_such_path(path));
    let reply = operation.map_or_else(refused, |operation| model.call(&operation, body));
    reply.into_response(peer, model.holds.clone()).await
}

fn asked_for(name: &str, query: Option<&str>) -> Option<String> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    Some(percent_decode(value))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::scripted_model::frame::tests::decode;
    use crate::scripted_model::prompt::tests::body;

    const CONVERSE: &str = "/us-east-1/model/m%3A0/converse";
    const STREAM: &str = "/us-east-1/model/m%3A0/converse-stream";

    async fn post(model: &Model, path: &str, prompt: &str) -> Result<Response<Body>, Broken> {
        let body = body("w", "s", prompt).to_string();
        respond(model, None, &Method::POST, path, None, body.as_bytes()).await
    }

    async fn get(model: &Model, path: &str, query: Option<&str>) -> Value {
        let response = respond(model, None, &Method::GET, path, query, b"").await.unwrap();
        assert_eq!(response.status(), 200);
        serde_json::from_slice(&read(response).await.unwrap()).unwrap()
    }

    async fn read(response: Response<Body>) -> Result<Vec<u8>, Broken> {
        Ok(response.into_body().collect().await?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_streamed_answer_is_an_event_stream() {
        let response = post(&Model::default(), STREAM, "hello there").await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
        let events = decode(&read(response).await.unwrap());
        assert_eq!(events[0].0, "messageStart");
        assert_eq!(events.last().unwrap().0, "metadata");
    }

    #[tokio::test]
    async fn a_refusal_has_the_status_the_code_and_the_retry_after_of_its_action() {
        let response = post(&Model::default(), STREAM, "@model *: overloaded(3)").await.unwrap();
        assert_eq!(response.status(), 529);
        assert_eq!(response.headers()["x-amzn-errortype"], "overloaded_error");
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(read(response).await.unwrap(), br#"{"message":"Overloaded"}"#);
    }

    #[tokio::test]
    async fn reset_and_cut_break_the_connection() {
        let model = Model::default();
        assert!(post(&model, CONVERSE, "@model *: reset").await.is_err());
        let cut = post(&model, STREAM, "@model *: cut").await.unwrap();
        assert!(read(cut).await.is_err());
    }

    #[tokio::test]
    async fn silence_and_stalls_do_not_end() {
        let (model, soon) = (Model::default(), Duration::from_millis(50));
        let silent = post(&model, STREAM, "@model *: silent");
        assert!(tokio::time::timeout(soon, silent).await.is_err());
        let stalled = post(&model, STREAM, "@model *: stall").await.unwrap();
        assert!(tokio::time::timeout(soon, read(stalled)).await.is_err());
    }

    #[tokio::test]
    async fn slow_delays_the_first_token() {
        let response = post(&Model::default(), STREAM, "@model *: slow(40)").await.unwrap();
        let started = std::time::Instant::now();
        read(response).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_held_answer_sends_empty_tokens_until_it_is_released() {
        let model = Model::default();
        let prompt = "@model *: held(gate)\n@model says: yes";
        let held = post(&model, STREAM, prompt).await.unwrap();
        let mut held = held.into_body();
        let mut read = Vec::new();
        while decode(&read).len() < 3 {
            read.extend(held.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        let text = |events: Vec<(String, Value)>| -> String {
            events.iter().filter_map(|(_, event)| event["delta"]["text"].as_str()).collect()
        };
        assert_eq!(text(decode(&read)), "");
        let release = ("/__release", Some("hold=gate"));
        respond(&model, None, &Method::POST, release.0, release.1, b"").await.unwrap();
        while let Some(frame) = held.frame().await {
            read.extend(frame.unwrap().into_data().unwrap());
        }
        let events = decode(&read);
        assert_eq!(events.last().unwrap().0, "metadata");
        assert_eq!(text(events), "yes");
        assert_eq!(get(&model, "/__count", None).await, 1);
    }

    #[tokio::test]
    async fn the_calls_of_a_run_can_be_listed() {
        let model = Model::default();
        read(post(&model, CONVERSE, "hello").await.unwrap()).await.unwrap();
        let calls = get(&model, "/__calls", Some("run=run%2D1")).await;
        assert_eq!(calls[0]["model_id"], "m:0");
        assert_eq!(calls[0]["request"]["requestMetadata"]["tenant"], "default");
        assert_eq!(get(&model, "/__calls", Some("run=other")).await, serde_json::json!([]));
    }

    #[tokio::test]
    async fn an_unknown_path_is_refused() {
        let response = post(&Model::default(), "/model/m/converse", "x").await.unwrap();
        assert_eq!(response.status(), 404);
    }
}
