//! Compares what writing the prompt cache of a step costs with what reading it saves.

use serde_json::{Value, json};

use crate::figures::{count, usd};
use crate::metrics::advice::finding::{Change, Finding, Kind};
use crate::metrics::advice::measured::{MeasuredStep, answered};
use crate::metrics::advice::{LEAST_ANSWERS, LEAST_USD};
use crate::metrics::groups::Sums;

/// Returns advice to remove `cache`, if the cache is not used or costs more than it saves. Records of bulk jobs use no
/// cache, and do not count.
pub fn finding(step: &MeasuredStep<'_>) -> Option<Finding> {
    step.step.cache?;
    let sums = step.on_demand();
    if answered(&sums) < LEAST_ANSWERS {
        return None;
    }
    let used = sums.line.totals.known_usage();
    let written = used.cache_write_5m_tokens + used.cache_write_1h_tokens;
    match written + used.cache_read_tokens {
        0 => Some(unused(step, &sums)),
        _ => loss(step, &sums, written),
    }
}

fn unused(step: &MeasuredStep<'_>, sums: &Sums) -> Finding {
    Finding {
        kind: Kind::UnusedCache,
        title: format!("The prompt cache of {} is not used", step.name()),
        about: step.about(),
        measured: vec![format!(
            "{} answers neither wrote to the cache nor read from it.",
            count(answered(sums))
        )],
        figures: figures(sums),
        matters: vec![
            "Bedrock ignores a prefix that is shorter than the minimum of the model, and a target may have no cache, so `cache` has no effect."
                .to_owned(),
        ],
        change: removal(step),
        usd: None,
        weight: answered(sums),
    }
}

fn loss(step: &MeasuredStep<'_>, sums: &Sums, written: u64) -> Option<Finding> {
    let (saved, extra) = (sums.detail.cache_saved_usd, sums.detail.cache_extra_usd);
    let lost = extra - saved;
    let read = sums.line.totals.known_usage().cache_read_tokens;
    (lost >= LEAST_USD).then(|| Finding {
        kind: Kind::CacheLoss,
        title: format!("The prompt cache of {} costs more than it saves", step.name()),
        about: step.about(),
        measured: vec![format!(
            "{} answers wrote {} tokens to the cache and read {} from it.",
            count(answered(sums)),
            count(written),
            count(read)
        )],
        figures: figures(sums),
        matters: vec![format!(
            "Writing cost {} more than input, and reading saved {}: a loss of {}.",
            usd(extra),
            usd(saved),
            usd(lost)
        )],
        change: removal(step),
        usd: Some(lost),
        weight: 0,
    })
}

fn figures(sums: &Sums) -> Value {
    let used = sums.line.totals.known_usage();
    json!({
        "answers": answered(sums),
        "cache_write_tokens": used.cache_write_5m_tokens + used.cache_write_1h_tokens,
        "cache_read_tokens": used.cache_read_tokens,
        "cache_extra_usd": sums.detail.cache_extra_usd.normalize(),
        "cache_saved_usd": sums.detail.cache_saved_usd.normalize(),
    })
}

fn removal(step: &MeasuredStep<'_>) -> Change {
    let (document, key) = (step.document(), step.key("cache"));
    let mut texts = [Some(&step.step.prompt), step.step.system.as_ref()].into_iter().flatten();
    let has_marks = texts.any(|text| text.contains("| cached"));
    let marks = if has_marks { " and the marks `| cached`" } else { "" };
    let text = format!("in {document}, remove {key}{marks}");
    Change { document, key, from: json!(step.step.cache), to: Value::Null, text }
}
