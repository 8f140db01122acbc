//! One answer: how it is to be given, what is said, how it stops, what it used.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer;
use super::prompt::{Prompt, words};

/// How to answer. An action of the script changes one thing of the default.
#[derive(Debug)]
pub struct Manner {
    /// Said word for word, instead of what the prompt would give.
    pub said: Option<String>,
    /// Only half of the answer comes out.
    pub halved: bool,
    pub thinks: bool,
    pub stop_reason: &'static str,
    /// From the response's headers to its first event.
    pub delay: Duration,
    /// Held back until this name is released.
    pub hold: Option<String>,
    /// Tokens read from the cache.
    pub cached: u64,
    pub reports_usage: bool,
    /// Service tier that the metadata reports.
    pub service_tier: Option<String>,
    pub guardrail_origin: Vec<&'static str>,
    pub ending: Ending,
}

/// What becomes of the stream. All but `Whole` need one, and break in the middle of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Whole,
    /// Some events, then nothing, the connection stays.
    Stall,
    /// The connection breaks inside an event.
    Cut,
    /// The body ends cleanly between two events.
    EndsEarly,
    /// Everything but `messageStop`.
    NoStop,
    /// One event does not match its checksum.
    BadCrc,
    /// An error event of this name (lower camel), then the end.
    Exception(String),
    /// The whole answer, and then the process that asked is killed before it sees the end of it.
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
            cached: 0,
            reports_usage: true,
            service_tier: None,
            guardrail_origin: Vec::new(),
            ending: Ending::Whole,
        }
    }
}

impl Manner {
    /// The answer was stopped half-way, and this is why.
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
    /// The error is a sentence for the caller: the prompt's schema is more than this model can.
    pub fn new(manner: Manner, prompt: &Prompt) -> Result<Self, String> {
        let text = manner.said.map_or_else(|| answer::to(prompt), Ok)?;
        let text = if manner.halved { first_half(&text) } else { text };
        let thinking = manner.thinks.then(|| thinking(prompt));
        let usage = Usage {
            input: tokens(prompt.words),
            output: tokens(words(&text) + thinking.as_deref().map_or(0, words)),
            cached: manner.cached,
        };
        Ok(Self {
            text,
            thinking,
            stop_reason: manner.stop_reason,
            usage: manner.reports_usage.then_some(usage),
            delay: manner.delay,
            hold: manner.hold,
            service_tier: manner.service_tier,
            guardrail_origin: manner.guardrail_origin,
            ending: manner.ending,
        })
    }

    /// Made up, but always the same for the same script.
    pub fn metrics(&self) -> Value {
        json!({ "latencyMs": self.delay.as_millis() as u64 })
    }
}

/// Tokens. As on Bedrock, `input` leaves out what came from the cache and the total does not.
#[derive(Debug)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
}

impl Usage {
    pub fn to_json(&self) -> Value {
        json!({
            "inputTokens": self.input,
            "outputTokens": self.output,
            "totalTokens": self.input + self.output + self.cached,
            "cacheReadInputTokens": self.cached,
            "cacheWriteInputTokens": 0,
        })
    }
}

/// Four tokens to three words, rounded up: near enough to English, and a test can work it out.
fn tokens(words: usize) -> u64 {
    (words as u64 * 4).div_ceil(3)
}

fn thinking(prompt: &Prompt) -> String {
    let step = prompt.caller.step.as_deref().unwrap_or("no step");
    let words = prompt.words;
    format!("This is {step} and there are {words} words to look at. I count, I do not think.")
}

/// Whole words, at least one less than all of them.
fn first_half(text: &str) -> String {
    let keep = words(text) / 2;
    let parts = text.split_inclusive(char::is_whitespace);
    let mut seen = 0;
    let half: String = parts
        .take_while(|part| {
            seen += usize::from(!part.trim().is_empty());
            seen <= keep
        })
        .collect();
    half.trim_end().to_owned()
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

    #[test]
    fn half_an_answer_is_never_the_whole_one() {
        assert_eq!(first_half("one two\nthree  four five"), "one two");
        assert_eq!(first_half("{\"a\": 1, \"b\": 2}"), "{\"a\": 1,");
        assert_eq!(first_half("word"), "");
    }
}
