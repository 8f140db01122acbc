//! A piece of advice: what was measured, why it matters, and what to change.

use std::cmp::Reverse;

use rust_decimal::Decimal;
use serde_json::{Value, json};

/// The kind of advice. Advice without an amount of money has this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A target nearly always fails.
    FailingTarget,
    /// `max_tokens` cuts answers.
    CutAnswers,
    /// `max_tokens` is far above the answers.
    MaxTokens,
    /// A prompt cache is neither written nor read.
    UnusedCache,
    /// A prompt cache costs more than it saves.
    CacheLoss,
    /// Batches ran on demand that could have run in bulk.
    Bulk,
}

impl Kind {
    /// Returns the name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FailingTarget => "failing_target",
            Self::CutAnswers => "cut_answers",
            Self::MaxTokens => "max_tokens",
            Self::UnusedCache => "unused_cache",
            Self::CacheLoss => "cache_loss",
            Self::Bulk => "bulk",
        }
    }
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The document, such as `workflows/explain.yaml`.
    pub document: String,
    /// The path of the key in the document.
    pub key: String,
    pub from: Value,
    /// The proposed value. `null` removes the key.
    pub to: Value,
    /// The change as a sentence without a period.
    pub text: String,
}

/// A piece of advice.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub kind: Kind,
    /// The advice in one line.
    pub title: String,
    /// The properties of what it is about, such as the workflow and the step.
    pub about: Value,
    /// What was measured, in sentences.
    pub measured: Vec<String>,
    /// The same as figures.
    pub figures: Value,
    /// Why it matters, in sentences.
    pub matters: Vec<String>,
    pub change: Change,
    /// What the change would have saved in the period, in USD. `None` if it saves no money, or an unknown amount.
    pub usd: Option<Decimal>,
    /// The importance among advice of the same kind without an amount of money.
    pub weight: u64,
}

impl Finding {
    /// Returns the key by which advice is sorted: the largest amounts of money first, then the kind and the weight.
    pub fn order(&self) -> (Reverse<Decimal>, Kind, Reverse<u64>, String) {
        let usd = self.usd.unwrap_or_default();
        (Reverse(usd), self.kind, Reverse(self.weight), self.title.clone())
    }

    /// Returns the advice as JSON.
    pub fn json(&self) -> Value {
        let Change { document, key, from, to, text } = &self.change;
        json!({
            "kind": self.kind.name(),
            "title": self.title,
            "about": self.about,
            "measured": self.measured.join(" "),
            "figures": self.figures,
            "matters": self.matters.join(" "),
            "change": { "document": document, "key": key, "from": from, "to": to, "text": text },
            "usd": self.usd.map(|usd| usd.normalize()),
        })
    }
}
