//! Compares `max_tokens` of a step with the lengths of its answers.
//!
//! At the start of a call, Bedrock reserves the tokens of its prompt (input, cache reads and cache writes) and
//! `max_tokens` of the account's quota of tokens per minute. So a large `max_tokens` throttles other calls, although
//! unused tokens are not paid.

use bcce_core::base::histogram::MAX_ERROR;
use bcce_core::call::parameters::Parameters;
use bcce_core::config::models::Takes;
use bcce_core::config::template::Step;
use serde_json::{Value, json};

use crate::figures::{count, plural};
use crate::metrics::advice::finding::{Change, Finding, Kind};
use crate::metrics::advice::measured::{MeasuredStep, mean_prompt};

/// The least factor by which `max_tokens` is far above the 99th percentile of the answers.
const FAR: u64 = 4;
/// The least share of what a call reserves that the change frees, in percent.
const LEAST_FREED: u64 = 20;
/// The least share of cut answers that advice is given for, in percent.
const LEAST_CUT: u64 = 1;
/// The quota that the text gives as an example, in tokens per minute.
const QUOTA: u64 = 1_000_000;

/// The lengths of the answers of a step, in tokens.
struct Lengths {
    answers: u64,
    p50: u64,
    p99: u64,
    /// A length that no answer exceeds.
    highest: u64,
    /// The number of answers that `max_tokens` cut.
    cut: u64,
}

impl Lengths {
    fn of(step: &MeasuredStep<'_>) -> Option<Self> {
        let detail = step.sums().detail;
        let lengths = &detail.answer_tokens;
        Some(Self {
            answers: lengths.count(),
            p50: lengths.quantile(50)?,
            p99: lengths.quantile(99)?,
            highest: lengths.highest()?,
            cut: detail.cut_answers,
        })
    }

    fn describe(&self) -> String {
        let Self { answers, p50, p99, highest, cut } = self;
        let cut = if *cut == 0 { "none".to_owned() } else { count(*cut) };
        format!(
            "{} answers: p50 {}, p99 {}, the longest at most {} tokens; {cut} of them cut by max_tokens.",
            count(*answers),
            count(*p50),
            count(*p99),
            count(*highest)
        )
    }

    fn json(&self) -> Value {
        json!({
            "answers": self.answers,
            "p50_tokens": self.p50,
            "p99_tokens": self.p99,
            "longest_tokens_at_most": self.highest,
            "max_relative_error": MAX_ERROR,
            "cut_answers": self.cut,
        })
    }
}

/// The `max_tokens` that a call of the step sends now, and with a proposed value in the workflow.
struct Sent {
    now: u64,
    proposed: u32,
    then: u64,
    target: String,
}

impl Sent {
    /// Returns what the target sends that gets most of the step's calls.
    fn of(step: &MeasuredStep<'_>, proposed: impl Fn(u64) -> u64) -> Option<Self> {
        let (target, takes) = step.most_called()?;
        let now = sent(step.step, &takes);
        let most = u64::from(takes.max_output_tokens);
        let proposed = u32::try_from(proposed(now).min(most)).unwrap_or(u32::MAX);
        let then = Step { max_tokens: Some(proposed), ..step.step.clone() };
        Some(Self { now, proposed, then: sent(&then, &takes), target: target.to_string() })
    }
}

fn sent(step: &Step, takes: &Takes) -> u64 {
    Parameters::of(step, takes, false).max_tokens.into()
}

/// Proposes a value that has room for answers half as long again as the longest one.
fn with_room(highest: u64) -> u64 {
    (highest + highest.div_ceil(2)).next_multiple_of(100)
}

/// Returns advice to lower `max_tokens`, if it is far above the answers. No value is proposed that would have cut an
/// answer. If answers were cut, their whole length is unknown, and there is no advice.
pub fn far_above(step: &MeasuredStep<'_>) -> Option<Finding> {
    let lengths = Lengths::of(step).filter(|lengths| lengths.cut == 0)?;
    let sent = Sent::of(step, |_| with_room(lengths.highest))?;
    let sums = step.on_demand();
    let prompt = mean_prompt(&sums);
    let (now, then) = (prompt + sent.now, prompt + sent.then);
    let is_far = sent.now >= FAR * lengths.p99 && 2 * sent.then <= sent.now;
    let is_much = now.saturating_sub(then) * 100 >= LEAST_FREED * now;
    (is_far && is_much).then(|| Finding {
        kind: Kind::MaxTokens,
        title: format!("max_tokens of {} is far above its answers", step.name()),
        about: step.about(),
        measured: vec![lengths.describe(), describe_sent(step.step, &sent)],
        figures: figures(&lengths, &sent, (prompt, sums.line.calls)),
        matters: vec![
            format!(
                "At its start a call reserves {} tokens of the quota: {} for its prompt and {} for max_tokens.",
                count(now),
                count(prompt),
                count(sent.now)
            ),
            format!(
                "{} tokens per minute have room for {} at a time, and for {} with the proposed value.",
                count(QUOTA),
                plural(calls_at_a_time(now) as usize, "such call"),
                count(calls_at_a_time(then))
            ),
        ],
        change: change(step, &sent),
        usd: None,
        weight: (now - then).saturating_mul(sums.line.calls),
    })
}

/// Returns advice to raise `max_tokens`, if it cuts answers. If it was raised since, there is no advice.
pub fn cuts(step: &MeasuredStep<'_>) -> Option<Finding> {
    let lengths = Lengths::of(step)?;
    let is_often = lengths.cut > 0 && lengths.cut * 100 >= LEAST_CUT * lengths.answers;
    // The value that is sent may have room for thinking on top of that of the workflow.
    let own = step.step.max_tokens.map(u64::from);
    let sent = Sent::of(step, |now| own.map_or(2 * now, |own| 2 * own))?;
    let is_so_now = sent.now <= lengths.highest && sent.then > sent.now;
    (is_often && is_so_now).then(|| Finding {
        kind: Kind::CutAnswers,
        title: format!("max_tokens of {} cuts answers", step.name()),
        about: step.about(),
        measured: vec![lengths.describe(), describe_sent(step.step, &sent)],
        figures: figures(&lengths, &sent, (mean_prompt(&step.on_demand()), lengths.answers)),
        matters: vec!["A cut answer is incomplete, and is paid like a whole one.".to_owned()],
        change: change(step, &sent),
        usd: None,
        weight: lengths.cut,
    })
}

fn calls_at_a_time(reserved: u64) -> u64 {
    QUOTA.checked_div(reserved).unwrap_or_default()
}

fn describe_sent(step: &Step, sent: &Sent) -> String {
    let (tokens, target) = (count(sent.now), &sent.target);
    match step.max_tokens {
        Some(own) if u64::from(own) == sent.now => {
            format!("max_tokens is {tokens}.")
        }
        Some(own) => {
            format!("max_tokens is {}, and a call of {target} sends {tokens}.", count(own.into()))
        }
        None => format!("max_tokens is not set, and a call of {target} sends {tokens}."),
    }
}

fn figures(lengths: &Lengths, sent: &Sent, (prompt, calls): (u64, u64)) -> Value {
    let mut figures = lengths.json();
    figures["calls"] = json!(calls);
    figures["mean_prompt_tokens"] = json!(prompt);
    figures["sent_max_tokens"] = json!(sent.now);
    figures["reserved_tokens"] = json!(prompt + sent.now);
    figures["reserved_tokens_proposed"] = json!(prompt + sent.then);
    figures
}

fn change(step: &MeasuredStep<'_>, sent: &Sent) -> Change {
    let (document, key) = (step.document(), step.key("max_tokens"));
    let text = format!("in {document}, set {key} to {}", sent.proposed);
    Change { document, key, from: json!(step.step.max_tokens), to: json!(sent.proposed), text }
}
