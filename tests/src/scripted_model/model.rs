//! Handles one call, from its body to the reply of the region.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::action::{Action, Does};
use super::calls::{Call, CallLog};
use super::completion::{Completion, Ending, Manner};
use super::hold::Holds;
use super::path::Operation;
use super::plants::{Plants, base};
use super::prompt::{Caller, Prompt};
use super::prompt_cache::PromptCache;
use super::reply::{Refusal, Reply};
use super::script::Script;
use super::stream::{self, Piece};
use super::{demands, message};

/// The scripted model with its log of calls.
pub struct Model {
    log: Mutex<CallLog>,
    cache: Mutex<PromptCache>,
    pub holds: Arc<Holds>,
    pub plants: Arc<Plants>,
    /// Returns the current time, in milliseconds since 1970.
    clock: fn() -> u64,
}

impl Default for Model {
    fn default() -> Self {
        let clock = || {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            since_1970.map_or(0, |since| since.as_millis() as u64)
        };
        Self {
            log: Mutex::default(),
            cache: Mutex::default(),
            holds: Arc::default(),
            plants: Arc::default(),
            clock,
        }
    }
}

impl Model {
    /// Logs a call and returns the reply to it.
    pub fn call(&self, operation: &Operation, body: &[u8]) -> Reply {
        let (caller, read) = read(operation, body);
        let action =
            self.turn_of(caller, operation, body, read.as_ref().ok().map(|(_, script)| script));
        read.and_then(|(prompt, script)| self.act(action, operation, &prompt, &script))
            .unwrap_or_else(|message| Reply::Refused(Refusal::validation(message)))
    }

    /// Returns the calls of one run, or of all runs, in order.
    pub fn calls(&self, run_id: Option<&str>) -> Value {
        self.log.lock().expect("no thread panics while it holds the log").to_json(run_id)
    }

    /// Returns the number of all calls so far.
    pub fn count(&self) -> usize {
        self.log.lock().expect("no thread panics while it holds the log").count()
    }

    /// Logs the call and returns its action. Both happen under one lock, so that parallel calls get successive actions.
    fn turn_of(
        &self,
        caller: Caller,
        operation: &Operation,
        body: &[u8],
        script: Option<&Script>,
    ) -> Action {
        let mut log = self.log.lock().expect("no thread panics while it holds the log");
        let so_far = log.so_far(&caller, &operation.region);
        let scripted =
            |script: &Script| script.action(&operation.region, caller.step.as_deref(), so_far);
        let planted = self.plants.action(&operation.region, &operation.model_id);
        let action = planted.unwrap_or_else(|| script.map_or_else(Action::answer, scripted));
        let written = script.map_or("refused", |_| &action.written).to_owned();
        log.record(Call::new(caller, operation.clone(), written, (self.clock)(), body));
        action
    }

    fn act(
        &self,
        action: Action,
        operation: &Operation,
        prompt: &Prompt,
        script: &Script,
    ) -> Result<Reply, String> {
        match action.does {
            Does::Reset => Ok(Reply::Reset),
            Does::Silent => Ok(Reply::Silent),
            Does::Refuse(status, code, message) => {
                let retry_after_s = action.argument.seconds();
                let argument = action.argument.text().unwrap_or_default().replace("\\n", "\n");
                let message = message.replace("{model}", &operation.model_id);
                let message = message.replace("{base}", base(&operation.model_id));
                let message = message.replace("{argument}", &argument);
                let said = script.says(prompt.caller.step.as_deref()).unwrap_or_default();
                let message = message.replace("{said}", said);
                Ok(Reply::Refused(Refusal { status, code, message, retry_after_s }))
            }
            Does::Answer(change) => {
                let said = script.says(prompt.caller.step.as_deref()).map(str::to_owned);
                let mut cache =
                    self.cache.lock().expect("no thread panics while it holds the cache");
                let from_input = cache.take(operation, &prompt.prefixes, (self.clock)());
                let mut manner = Manner { said, from_input, ..Manner::default() };
                change(&mut manner, action.argument);
                answer(operation, Completion::new(manner, prompt)?, &action.written)
            }
        }
    }
}

type Read = Result<(Prompt, Script), String>;

/// Reads the caller, the prompt and the script of a request. The caller is known even if the script is invalid.
fn read(operation: &Operation, body: &[u8]) -> (Caller, Read) {
    match Prompt::parse(body) {
        Ok(mut prompt) => {
            let caller = prompt.caller.clone();
            let allowed = demands::check(operation, body, prompt.schema.as_ref());
            let script = allowed.and_then(|()| Script::take(&mut prompt));
            (caller, script.map(|script| (prompt, script)))
        }
        Err(message) => (Caller::default(), Err(message)),
    }
}

fn answer(operation: &Operation, completion: Completion, written: &str) -> Result<Reply, String> {
    if operation.stream {
        return Ok(Reply::Events(stream::pieces(&completion)));
    }
    if completion.ending != Ending::Whole || completion.hold.is_some() {
        return Err(format!("`{written}` breaks a stream: call converse-stream"));
    }
    let json = Piece::Bytes(message::to_json(&completion).to_string().into());
    Ok(Reply::Json(vec![Piece::Pause(completion.delay), json]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::plants;
    use crate::scripted_model::prompt::tests::body;

    fn operation(region: &str, stream: bool) -> Operation {
        Operation { region: region.into(), model_id: "us.anthropic.x".into(), stream }
    }

    fn ask(model: &Model, region: &str, prompt: &str) -> Reply {
        let body = body("w", "s", prompt).to_string();
        model.call(&operation(region, false), body.as_bytes())
    }

    fn refused(reply: Reply) -> Refusal {
        match reply {
            Reply::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn regions_count_their_own_calls_and_the_log_has_all() {
        let model = Model::default();
        let prompt = "@model us-east-1: throttle(2), needs-profile, answer\nhello";
        let first = refused(ask(&model, "us-east-1", prompt));
        assert_eq!(
            (first.status, first.code, first.retry_after_s),
            (429, "ThrottlingException", Some(2))
        );
        assert!(matches!(ask(&model, "us-west-2", prompt), Reply::Json(_)));
        let second = refused(ask(&model, "us-east-1", prompt));
        assert!(second.message.starts_with("Invocation of model ID us.anthropic.x with on-demand"));
        assert!(matches!(ask(&model, "us-east-1", prompt), Reply::Json(_)));
        let calls = model.calls(Some("run-1"));
        let logged = |call: &Value| (call["region"].clone(), call["action"].clone());
        let logged: Vec<_> = calls.as_array().unwrap().iter().map(logged).collect();
        let expected = [
            ("us-east-1", "throttle(2)"),
            ("us-west-2", "answer"),
            ("us-east-1", "needs-profile"),
            ("us-east-1", "answer"),
        ];
        assert_eq!(logged, expected.map(|(region, action)| (region.into(), action.into())));
    }

    #[test]
    fn a_mistyped_action_is_refused_and_logged_under_its_run() {
        let model = Model::default();
        let refusal = refused(ask(&model, "us-west-2", "@model us-east-1: thortle"));
        assert_eq!((refusal.status, refusal.code), (400, "ValidationException"));
        assert!(refusal.message.contains("unknown action `thortle`"), "{}", refusal.message);
        assert_eq!(model.calls(Some("run-1"))[0]["action"], "refused");
    }

    #[test]
    fn a_refusal_has_the_message_of_the_script() {
        let script = "@model *: refused-saying\n@model says: <b>(no),\\nno</b>";
        let refusal = refused(ask(&Model::default(), "us-east-1", script));
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            ("ValidationException", "<b>(no),\nno</b>")
        );
    }

    #[test]
    fn an_action_that_breaks_a_stream_requires_a_stream() {
        let refusal = refused(ask(&Model::default(), "us-east-1", "@model *: bad-crc"));
        assert!(refusal.message.contains("`bad-crc` breaks a stream"));
    }

    #[test]
    fn an_answer_without_a_stream_has_the_whole_text_and_its_usage() {
        let reply =
            ask(&Model::default(), "us-east-1", "@model *: thinks\n@model says: yes\nreally?");
        let Reply::Json(pieces) = reply else { panic!("{reply:?}") };
        let Some(Piece::Bytes(json)) = pieces.last() else { panic!("{pieces:?}") };
        let json: Value = serde_json::from_slice(json).unwrap();
        let content = &json["output"]["message"]["content"];
        assert!(content[0]["reasoningContent"]["reasoningText"]["text"].is_string());
        assert_eq!(content[1]["text"], "yes");
        assert_eq!(json["stopReason"], "end_turn");
        assert_eq!(json["usage"]["inputTokens"], 10);
    }

    #[test]
    fn a_planted_action_is_that_of_each_call_of_its_model() {
        let model = Model::default();
        let plant = |region: &str, action: &str| {
            let fault = serde_json::json!({ "call": action });
            let plant =
                serde_json::json!({ "region": region, "model": "anthropic.x", "fault": fault });
            plants::tests::send(&model.plants, &plant).unwrap()
        };
        plant("us-east-1", "legacy");
        for prompt in ["hello", "@model *: throttle"] {
            let refusal = refused(ask(&model, "us-east-1", prompt));
            assert_eq!(refusal.status, 404);
            assert!(refusal.message.contains("you have not been actively using the model"));
        }
        assert!(matches!(ask(&model, "us-west-2", "hello"), Reply::Json(_)));
        assert_eq!(model.calls(Some("run-1"))[0]["action"], "legacy");
        plant("us-west-2", "denied-in(us-east-2)");
        let refusal = refused(ask(&model, "us-west-2", "hello"));
        let denied = "arn:aws:bedrock:us-east-2::foundation-model/anthropic.x with an explicit deny in a service control policy";
        assert!(refusal.message.ends_with(denied), "{}", refusal.message);
    }
}
