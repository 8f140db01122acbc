//! The recording of a local stack (`infra/local/recording.py`): what functions received, and what they exchanged with
//! services.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

/// A recorded stack.
#[derive(Deserialize)]
pub struct Recording {
    /// The invocations that are replayed in turn, by the name of the scene. The first ones are those of a new process.
    pub scenes: BTreeMap<String, Vec<Invocation>>,
    /// The exchanges of each function in all its invocations, each once.
    pub exchanges: BTreeMap<String, Vec<Exchange>>,
    /// The certificate and the key of the TLS server, in PEM.
    pub certificate: [String; 2],
}

/// An invocation of a function.
#[derive(Deserialize)]
pub struct Invocation {
    /// The name of the function, such as `invoke`.
    pub function: String,
    /// The variables that the template and Lambda set, without endpoints and credentials.
    pub environment: BTreeMap<String, String>,
    event: Box<RawValue>,
    /// The time at which the invocation started, in seconds since 1970.
    started: f64,
    pub answer: Value,
    pub exchanges: Vec<Exchange>,
}

impl Invocation {
    /// Returns the event as if the invocation started now: the times in it are as long ago as they were. Otherwise a
    /// decision of the router would be too old, and the run would be over its time limit.
    pub fn event_at(&self, now: SystemTime) -> String {
        later(self.event.get(), seconds(self.started), now.into())
    }
}

impl Exchange {
    /// Returns the body as if the request were sent now. Otherwise an execution that was just started would be an old one.
    pub fn body_at(&self, now: SystemTime) -> Bytes {
        // A body with a checksum must stay as it is.
        let is_free = self.target.is_some() && !self.headers.contains_key("x-amz-crc32");
        match std::str::from_utf8(&self.body) {
            Ok(text) if is_free => later(text, seconds(self.at), now.into()).into(),
            _ => self.body.clone(),
        }
    }
}

/// Returns the time that is this number of seconds after the start of 1970.
fn seconds(since_1970: f64) -> OffsetDateTime {
    (UNIX_EPOCH + std::time::Duration::from_secs_f64(since_1970)).into()
}

/// Returns a text whose times are as far from `now` as they were from `then`: those in RFC 3339, and numbers of seconds
/// since 1970. Fractions of seconds stay as they are. A time of another day is not the run's, but the sender's, who may
/// have signed it.
fn later(text: &str, then: OffsetDateTime, now: OffsetDateTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    const LENGTH: usize = "2026-11-01T12:00:00".len();
    let by = Duration::seconds((now - then).whole_seconds());
    let is_ours = |time: OffsetDateTime| (time - then).abs() < Duration::DAY;
    let (mut moved, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let digits = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let time = from.get(..LENGTH).and_then(|t| PrimitiveDateTime::parse(t, FORMAT).ok());
        let time = time.map(PrimitiveDateTime::assume_utc).filter(|time| is_ours(*time));
        let number = from[..digits].parse().ok().filter(|_| digits == 10);
        let number = number.filter(|n: &i64| is_ours(seconds(*n as f64)));
        let (length, written) =
            match (time.and_then(|time| (time + by).format(FORMAT).ok()), number) {
                (Some(time), _) => (LENGTH, time),
                (None, Some(number)) => (digits, (number + by.whole_seconds()).to_string()),
                (None, None) => (digits, from[..digits].to_owned()),
            };
        moved.push_str(before);
        moved.push_str(&written);
        rest = &from[length..];
    }
    moved + rest
}

/// A request of a function, and its answer.
#[derive(Deserialize)]
pub struct Exchange {
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// `X-Amz-Target`, the operation of a JSON protocol.
    pub target: Option<String>,
    /// The body of a request with a target, which is JSON.
    #[serde(deserialize_with = "parsed")]
    pub request: Value,
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    #[serde(deserialize_with = "decoded")]
    body: Bytes,
    /// The time of the answer, in seconds since 1970.
    at: f64,
}

fn decoded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, or it is not a recording.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The exchanges of a scene, for one process. A request gets the answer that the same request got in the recording.
///
/// A request that the invocation made twice gets its answers in turn, then the last one again. Generated names and times
/// differ from those in the recording, so a request that is not found exactly is found without its body, then without the
/// ids in its path. A request that only other invocations made, such as the reading of a configuration, is answered from
/// these.
pub struct Replay<'a> {
    scene: &'a [Invocation],
    others: &'a [Exchange],
    current: usize,
    answered: HashMap<(usize, usize), usize>,
}

impl<'a> Replay<'a> {
    /// `others` are the exchanges of the function in other scenes.
    pub fn new(scene: &'a [Invocation], others: &'a [Exchange]) -> Self {
        Self { scene, others, current: 0, answered: HashMap::new() }
    }

    /// Starts the invocation with this number and returns it.
    pub fn start(&mut self, number: usize) -> &'a Invocation {
        self.current = number % self.scene.len();
        self.answered.clear();
        &self.scene[self.current]
    }

    /// Returns the recorded exchange of a request, or `None` if there is none.
    pub fn find(&mut self, request: &Request<'_>) -> Option<&'a Exchange> {
        let body = request.target.and_then(|_| serde_json::from_slice::<Value>(request.body).ok());
        body.and_then(|body| {
            self.equal(|exchange| request.is(exchange) && body == exchange.request)
        })
        .or_else(|| self.equal(|exchange| request.is(exchange)))
        .or_else(|| {
            let shape = shape(request.path);
            self.equal(|exchange| {
                request.is_alike(exchange) && self::shape(&exchange.path) == shape
            })
        })
    }

    /// Returns the next exchange that is equal to a request: of the current invocation, then of the others.
    fn equal(&mut self, is_equal: impl Fn(&Exchange) -> bool) -> Option<&'a Exchange> {
        let count = self.scene.len();
        for invocation in (0..count).map(|n| (self.current + n) % count).chain([count]) {
            let own = self.scene.get(invocation).map(|invocation| invocation.exchanges.as_slice());
            let mut equal =
                own.unwrap_or(self.others).iter().enumerate().filter(|(_, e)| is_equal(e));
            let Some((first, exchange)) = equal.next() else { continue };
            let answered = self.answered.entry((invocation, first)).or_default();
            *answered += 1;
            let later = equal.take(*answered - 1).last().map(|(_, exchange)| exchange);
            return later.or(Some(exchange));
        }
        None
    }
}

/// A request of a process.
pub struct Request<'a> {
    pub method: &'a str,
    /// The path with the query.
    pub path: &'a str,
    /// `X-Amz-Target`.
    pub target: Option<&'a str>,
    pub body: &'a [u8],
}

impl Request<'_> {
    fn is(&self, exchange: &Exchange) -> bool {
        self.is_alike(exchange) && without_operation(&exchange.path) == without_operation(self.path)
    }

    /// Returns whether only the path may differ.
    fn is_alike(&self, exchange: &Exchange) -> bool {
        exchange.method == self.method && exchange.target.as_deref() == self.target
    }
}

/// Returns a path without the name of the operation, which only some SDKs add to it.
fn without_operation(path: &str) -> &str {
    path.split_once("?x-id=").map_or(path, |(path, _)| path)
}

/// Returns a path without ids and digests, which differ from run to run: each row of eight or more hexadecimal digits.
fn shape(path: &str) -> String {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut shape = String::new();
    let mut rest = without_operation(path);
    while let Some(at) = rest.find(is_hex) {
        let (before, from) = rest.split_at(at);
        let (digits, after) = from.split_at(from.find(|c| !is_hex(c)).unwrap_or(from.len()));
        shape.push_str(before);
        shape.push_str(if digits.len() < 8 { digits } else { "*" });
        rest = after;
    }
    shape + rest
}

/// Returns whether an answer is the recorded one. Only texts with digits may differ: times, ids, digests.
pub fn is_alike(answer: &Value, recorded: &Value) -> bool {
    match (answer, recorded) {
        (Value::Object(answer), Value::Object(recorded)) => {
            answer.len() == recorded.len()
                && recorded.iter().all(|(name, recorded)| {
                    answer.get(name).is_some_and(|answer| is_alike(answer, recorded))
                })
        }
        (Value::Array(answer), Value::Array(recorded)) => {
            answer.len() == recorded.len()
                && answer.iter().zip(recorded).all(|(answer, recorded)| is_alike(answer, recorded))
        }
        (Value::String(answer), Value::String(recorded)) => {
            let has_digits = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
            answer == recorded || has_digits(answer) && has_digits(recorded)
        }
        _ => answer == recorded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use time::macros::datetime;

    fn invocation(exchanges: Value) -> Invocation {
        serde_json::from_value(json!({
            "function": "f", "environment": {}, "event": {}, "started": 0, "answer": null, "exchanges": exchanges,
        }))
        .unwrap()
    }

    fn get(path: &str, status: u16) -> Value {
        json!({
            "method": "GET", "path": path, "target": null, "request": "",
            "status": status, "headers": {}, "body": "", "at": 0,
        })
    }

    fn asked<'a>(method: &'a str, path: &'a str) -> Request<'a> {
        Request { method, path, target: None, body: b"" }
    }

    #[test]
    fn a_request_gets_the_answers_of_its_own_invocation_in_turn() {
        let scene = [
            invocation(json!([get("/a", 404), get("/b-07a1b2c3", 200), get("/a", 200)])),
            invocation(json!([get("/a", 500), get("/config", 200)])),
        ];
        let others = [serde_json::from_value(get("/elsewhere", 200)).unwrap()];
        let mut replay = Replay::new(&scene, &others);
        let mut status = |path| replay.find(&asked("GET", path)).map(|exchange| exchange.status);
        assert_eq!([status("/a"), status("/a"), status("/a")], [Some(404), Some(200), Some(200)]);
        assert_eq!([status("/b-41d4e5f6"), status("/b-1")], [Some(200), None]);
        assert_eq!([status("/config"), status("/elsewhere")], [Some(200); 2]);
        replay.start(1);
        let found = replay.find(&asked("GET", "/a")).map(|exchange| exchange.status);
        assert_eq!(found, Some(500));
        assert!(replay.find(&asked("PUT", "/a")).is_none());
        assert!(replay.find(&Request { target: Some("X.Y"), ..asked("GET", "/a") }).is_none());
    }

    #[test]
    fn of_requests_to_one_path_each_gets_the_answer_of_its_body() {
        let post = |request: &str, status: u16| {
            json!({
                "method": "POST", "path": "/", "target": "D.Query", "request": request,
                "status": status, "headers": {}, "body": "", "at": 0,
            })
        };
        let scene = [invocation(json!([post(r#"{"n":1}"#, 200), post(r#"{"n":2}"#, 201)]))];
        let mut replay = Replay::new(&scene, &[]);
        for (body, status) in [(r#"{ "n": 2 }"#, 201), (r#"{"n":1}"#, 200), ("{}", 201)] {
            let request =
                Request { target: Some("D.Query"), body: body.as_bytes(), ..asked("POST", "/") };
            assert_eq!(replay.find(&request).unwrap().status, status, "{body}");
        }
    }

    #[test]
    fn times_are_moved_and_nothing_else() {
        // 23:00 is 1,795,993,200 seconds after the start of 1970.
        let event = r#"{"at":"2026-11-29T23:59:58.25Z","theirs":"2011-04-10T20:09:31Z","n":20}"#;
        let answer = r#"{"startDate":1795993201.25,"id":"000000000000","theirs":1302466171}"#;
        let then = datetime!(2026-11-29 23:00 UTC);
        let now = then + Duration::seconds(5);
        assert_eq!(
            later(event, then, now),
            r#"{"at":"2026-11-30T00:00:03.25Z","theirs":"2011-04-10T20:09:31Z","n":20}"#
        );
        assert_eq!(
            later(answer, then, now),
            r#"{"startDate":1795993206.25,"id":"000000000000","theirs":1302466171}"#
        );
    }

    #[test]
    fn an_answer_is_alike_if_only_texts_with_digits_differ() {
        let recorded = json!({ "at": "12:00", "items": [1, 2], "outcome": "answered" });
        assert!(is_alike(
            &json!({ "at": "13:00", "items": [1, 2], "outcome": "answered" }),
            &recorded
        ));
        for other in [
            json!({ "at": "13:00", "items": [1], "outcome": "answered" }),
            json!({ "at": "13:00", "items": [1, 3], "outcome": "answered" }),
            json!({ "at": "13:00", "items": [1, 2], "outcome": "failed" }),
            json!({ "at": "13:00", "items": [1, 2] }),
            json!({ "errorType": "Bcce.Internal" }),
        ] {
            assert!(!is_alike(&other, &recorded), "{other}");
        }
    }
}
