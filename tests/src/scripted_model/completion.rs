//! One answer: its text, its stop reason, its usage, and the way in which it is sent.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer;
use super::prompt::{Prompt, tokens, words, words_within};
use super::prompt_cache::Cached;

/// The way to answer a call. An action of the script changes a part of the default.
#[derive(Debug)]
pub struct Manner {
    /// The text of the answer, instead of the one that is computed from the prompt.
    pub said: Option<String>,
    /// True if only the first half of the answer is sent.
    pub halved: bool,
    /// True if reasoning precedes the answer.
    pub thinks: bool,
    pub stop_reason: &'static str,
    /// The time from the headers of the response to its first event.
    pub delay: Duration,
    /// The name of the hold. The answer continues after a test releases this name.
    pub hold: Option<String>,
    /// The tokens that the prompt cache takes out of the input.
    pub from_input: Cached,
    /// The number of tokens read from the cache in addition to them.
    pub cached: u64,
    /// The numbers of tokens written to the cache for five minutes and for an hour.
    pub written_5m: u64,
    pub written_1h: u64,
    /// True if the answer includes its usage.
    pub reports_usage: bool,
    /// The service tier that the metadata reports.
    pub service_tier: Option<String>,
    pub guardrail_origin: Vec<&'static str>,
    pub ending: Ending,
}

/// The end of a stream. All variants but `Whole` require a stream. Most of them break it in the middle of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The stream ends normally.
    Whole,
    /// The stream stops after some events, and the connection stays open.
    Stall,
    /// The connection breaks inside an event.
    Cut,
    /// The body ends cleanly between two events.
    EndsEarly,
    /// The stream has all events but `messageStop`.
    NoStop,
    /// One event does not match its checksum.
    BadCrc,
    /// The stream ends with an error event of this name, in lower camel case.
    Exception(String),
    /// The calling process is killed after the whole answer, before it receives the end of the stream.
    Killed,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            said: None,
            halved: false,
            thinks: false,
            stop_reason: "end_turn",
            delay: Duration::ZERO,
            hold: None,
            from_input: Cached::default(),
            cached: 0,
            written_5m: 0,
            written_1h: 0,
            reports_usage: true,
            service_tier: None,
            guardrail_origin: Vec::new(),
            ending: Ending::Whole,
        }
    }
}

impl Manner {
    /// Cuts the answer in half and sets the stop reason.
    pub fn stop_halfway(&mut self, stop_reason: &'static str) {
        self.stop_reason = stop_reason;
        self.halved = true;
    }
}

/// One answer, ready to be sent.
#[derive(Debug)]
pub struct Completion {
    pub text: String,
    pub thinking: Option<String>,
    pub stop_reason: &'static str,
    pub usage: Option<Usage>,
    pub delay: Duration,
    pub hold: Option<String>,
    pub service_tier: Option<String>,
    pub guardrail_origin: Vec<&'static str>,
    pub ending: Ending,
}

impl Completion {
    /// Computes the answer to a prompt.
    ///
    /// # Errors
    /// A sentence for the caller, if the scripted model does not support the schema of the prompt.
    pub fn new(manner: Manner, prompt: &Prompt) -> Result<Self, String> {
        let text = manner.said.map_or_else(|| answer::to(prompt), Ok)?;
        let text = if manner.halved { first_half(&text) } else { text };
        let thinking = manner.thinks.then(|| thinking(prompt));
        let thought = thinking.as_deref().map_or(0, words);
        let (text, is_cut) = within(prompt.max_tokens, text, thought);
        let is_ended = manner.stop_reason == "end_turn";
        let stop_reason = if is_cut && is_ended { "max_tokens" } else { manner.stop_reason };
        let output = tokens(words(&text) + thought);
        let Cached { read, written_5m, written_1h } = manner.from_input;
        let usage = Usage {
            input: tokens(prompt.words).saturating_sub(read + written_5m + written_1h),
            output: output.min(prompt.max_tokens.unwrap_or(u64::MAX)),
            cached: manner.cached + read,
            written_5m: manner.written_5m + written_5m,
            written_1h: manner.written_1h + written_1h,
        };
        Ok(Self {
            text,
            thinking,
            stop_reason,
            usage: manner.reports_usage.then_some(usage),
            delay: manner.delay,
            hold: manner.hold,
            service_tier: manner.service_tier,
            guardrail_origin: manner.guardrail_origin,
            ending: manner.ending,
        })
    }

    /// Returns metrics that are the same for each answer of a script.
    pub fn metrics(&self) -> Value {
        json!({ "latencyMs": self.delay.as_millis() as u64 })
    }
}

/// Numbers of tokens. As on Bedrock, `input` excludes the tokens from the cache, and the total includes them.
#[derive(Debug)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub written_5m: u64,
    pub written_1h: u64,
}

impl Usage {
    pub fn to_json(&self) -> Value {
        let written = self.written_5m + self.written_1h;
        let mut usage = json!({
            "inputTokens": self.input,
            "outputTokens": self.output,
            "totalTokens": self.input + self.output + self.cached + written,
            "cacheReadInputTokens": self.cached,
            "cacheWriteInputTokens": written,
        });
        let details = [("5m", self.written_5m), ("1h", self.written_1h)];
        let details = details.into_iter().filter(|(_, tokens)| *tokens > 0);
        let detail = |(ttl, tokens)| json!({ "ttl": ttl, "inputTokens": tokens });
        if written > 0 {
            usage["cacheDetails"] = details.map(detail).collect();
        }
        usage
    }
}

fn thinking(prompt: &Prompt) -> String {
    let step = prompt.caller.step.as_deref().unwrap_or("no step");
    let words = prompt.words;
    format!("This is {step} and there are {words} words to look at. I count, I do not think.")
}

/// Cuts an answer that has more than `most` tokens together with the words of its thinking. Returns true if it was cut.
fn within(most: Option<u64>, text: String, thought: usize) -> (String, bool) {
    match most {
        Some(most) if tokens(words(&text) + thought) > most => {
            (first_words(&text, words_within(most).saturating_sub(thought)), true)
        }
        _ => (text, false),
    }
}

/// Returns the first half of the words, and never all of them.
fn first_half(text: &str) -> String {
    first_words(text, words(text) / 2)
}

fn first_words(text: &str, keep: usize) -> String {
    let parts = text.split_inclusive(char::is_whitespace);
    let mut seen = 0;
    let kept: String = parts
        .take_while(|part| {
            seen += usize::from(!part.trim().is_empty());
            seen <= keep
        })
        .collect();
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::prompt::tests::body;

    fn prompt(text: &str) -> Prompt {
        Prompt::parse(body("w", "s", text).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn usage_is_four_thirds_of_the_words_rounded_up_and_the_cache_comes_on_top() {
        let manner = Manner {
            said: Some("one two three four five".into()),
            cached: 1000,
            ..Manner::default()
        };
        let completion = Completion::new(manner, &prompt("a b c d")).unwrap();
        let usage = completion.usage.unwrap().to_json();
        assert_eq!(usage["inputTokens"], 6);
        assert_eq!(usage["outputTokens"], 7);
        assert_eq!(usage["cacheReadInputTokens"], 1000);
        assert_eq!(usage["totalTokens"], 1013);
    }

    #[test]
    fn thinking_is_paid_as_output_and_is_not_the_answer() {
        let said = || Some("yes".into());
        let plain =
            Completion::new(Manner { said: said(), ..Manner::default() }, &prompt("x")).unwrap();
        let manner = Manner { said: said(), thinks: true, ..Manner::default() };
        let thinking = Completion::new(manner, &prompt("x")).unwrap();
        assert!(thinking.usage.unwrap().output > plain.usage.unwrap().output);
        assert_eq!(thinking.text, "yes");
    }

    /// Returns the text, the stop reason and the output tokens of an answer of five words, which are seven tokens.
    fn answered(max_tokens: Option<u64>, change: fn(&mut Manner)) -> (String, &'static str, u64) {
        let prompt = Prompt { max_tokens, ..prompt("a b c d") };
        let said = Some("one two three four five".into());
        let mut manner = Manner { said, ..Manner::default() };
        change(&mut manner);
        let completion = Completion::new(manner, &prompt).unwrap();
        (completion.text, completion.stop_reason, completion.usage.unwrap().output)
    }

    #[test]
    fn an_answer_is_cut_at_max_tokens() {
        let whole = "one two three four five".to_owned();
        for most in [None, Some(7), Some(8)] {
            assert_eq!(answered(most, |_| ()), (whole.clone(), "end_turn", 7));
        }
        let cut = answered(Some(6), |_| ());
        assert_eq!(cut, ("one two three four".into(), "max_tokens", 6));
        assert_eq!(answered(Some(1), |_| ()), ("one".into(), "max_tokens", 1));
        let thinking = answered(Some(6), |manner| manner.thinks = true);
        assert_eq!(thinking, (String::new(), "max_tokens", 6), "thinking comes first");
        let guarded = answered(Some(6), |manner| manner.stop_reason = "guardrail_intervened");
        assert_eq!(guarded.1, "guardrail_intervened", "the reason of a script stays");
    }

    #[test]
    fn the_limit_is_read_from_the_request() {
        let mut body = body("w", "s", "x");
        body["inferenceConfig"] = json!({ "maxTokens": 6 });
        let prompt = Prompt::parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(prompt.max_tokens, Some(6));
    }

    #[test]
    fn half_an_answer_is_never_the_whole_answer() {
        assert_eq!(first_half("one two\nthree  four five"), "one two");
        assert_eq!(first_half("{\"a\": 1, \"b\": 2}"), "{\"a\": 1,");
        assert_eq!(first_half("word"), "");
    }
}
