//! Formats one event of a step execution: a decision, a call or a wait.

use bcce_core::base::target::Target;
use bcce_core::call::attempt::{Attempt, AttemptKind, Totals};
use bcce_core::failover::decision::{Candidate, Decision, Next};
use bcce_core::failover::route::Route;

use super::names::Names;
use crate::figures;
use crate::page::Page;
use crate::paint::{Ink, Line, Span, span};
use crate::run::timeline::{Event, has_failed};
use crate::run::view::cache;

/// The width of the column for the kind of event. It fits the longest one, `decide`, and a gap.
const VERB: usize = 8;

/// Adds the lines of an event. The first line follows the time and the kind of event, and the others are aligned with
/// it.
pub fn put(page: &mut Page, stamp: &str, clock: usize, verb: &str, lines: Vec<Line>) {
    let margin = 2 + clock + 2 + VERB;
    for (n, line) in lines.into_iter().enumerate() {
        let mut whole = match n {
            0 => vec![
                span(Ink::Dim, format!("  {stamp:>clock$}  ")),
                span(Ink::Plain, format!("{verb:<VERB$}")),
            ],
            _ => vec![span(Ink::Plain, " ".repeat(margin))],
        };
        whole.extend(line);
        page.put(margin, whole);
    }
}

/// Returns the kind and the lines of an event.
pub fn describe(
    event: &Event<'_>,
    route: Option<&Route>,
    names: &Names,
) -> (&'static str, Vec<Line>) {
    match event {
        Event::Decision(decision) => ("decide", decided(decision, route, names)),
        Event::Wait { waited_ms, .. } => {
            ("wait", vec![vec![span(Ink::Yellow, figures::milliseconds(*waited_ms))]])
        }
        Event::Attempt(attempt) => match attempt.kind {
            AttemptKind::First => ("call", called(attempt)),
            AttemptKind::Repair => ("repair", called(attempt)),
            AttemptKind::Bulk => ("bulk", called(attempt)),
        },
    }
}

fn decided(decision: &Decision, route: Option<&Route>, names: &Names) -> Vec<Line> {
    let next = match &decision.next {
        Next::Targets(targets) => {
            let targets: Vec<String> = targets.iter().map(|target| names.target(target)).collect();
            format!("try {}", targets.join(", then "))
        }
        Next::WaitS(seconds) => format!("wait {seconds} s"),
        Next::Stop(error) => format!("stop with {error}"),
    };
    let because = match decision.because.as_slice() {
        [] => String::new(),
        because => format!(": {}", because.join("; ")),
    };
    let first = vec![span(Ink::Bold, next), span(Ink::Plain, because)];
    let listed = |n: usize| route.and_then(|route| route.targets.get(n)).map(|l| &l.target);
    let candidates = decision.candidates.iter().enumerate();
    let candidates = candidates.map(|(n, c)| weighed(decision, c, listed(n), names));
    std::iter::once(first).chain(candidates).collect()
}

/// Formats a candidate of a decision: `us-east-1 passed over: its breaker is open until …`.
fn weighed(
    decision: &Decision,
    candidate: &Candidate,
    listed: Option<&Target>,
    names: &Names,
) -> Line {
    // A candidate does not name its account role, but the target at the same place of the route does.
    let listed = listed.filter(|target| target.to_string() == candidate.target);
    let name = listed.map(|target| names.target(target));
    let name = name.unwrap_or_else(|| names.short(&candidate.target).to_owned());
    let is_first = match &decision.next {
        Next::Targets(targets) => listed.is_some() && targets.first() == listed,
        _ => false,
    };
    let (ink, ruled) = match candidate.taken {
        true if is_first && decision.probe.is_some() => (Ink::Yellow, "elected to probe"),
        true => (Ink::Green, "taken"),
        false => (Ink::Dim, "passed over"),
    };
    vec![
        span(Ink::Plain, format!("{name} ")),
        span(ink, ruled),
        span(Ink::Dim, format!(": {}", candidate.because)),
    ]
}

fn called(attempt: &Attempt) -> Vec<Line> {
    let dim = |text: String| vec![span(Ink::Dim, text)];
    let first = vec![span(Ink::Plain, format!("{} ", attempt.target.region)), outcome(attempt)];
    let said = attempt.message.as_ref().map(|message| dim(format!("it said: {message}")));
    let advice = attempt.advice.as_ref();
    let advice = advice.map(|advice| vec![span(Ink::Plain, format!("to do: {advice}"))]);
    let asked = attempt.retry_after_s.map(|s| dim(format!("it asked to wait {s} s (Retry-After)")));
    let adapted = (!attempt.adapted.is_empty())
        .then(|| dim(format!("adapted to the target: {}", attempt.adapted.join("; "))));
    let spent = dim(format!("{}; {}", model(attempt), spent(attempt)));
    let cache = cache::of(attempt).map(|cache| dim(format!("prompt cache: {cache}")));
    [Some(first), said, advice, asked, adapted, Some(spent), cache].into_iter().flatten().collect()
}

/// Describes the model of a call with its account role and guardrail, and with the guardrails and the service tier that
/// the service reports.
fn model(attempt: &Attempt) -> String {
    let target = &attempt.target;
    let account = target.account.as_ref().map(|account| format!(" as {account}"));
    let guardrail = target.guardrail.as_ref();
    let guardrail = guardrail.map(|rail| format!(" under guardrail {} {}", rail.id, rail.version));
    let origin = match attempt.guardrail_origin.as_slice() {
        [] => None,
        origin => Some(format!(" (guardrails applied: {})", origin.join(", "))),
    };
    let tier = attempt.service_tier.as_ref().map(|tier| format!(", served by tier {tier}"));
    let parts = [Some(target.model_id.clone()), account, guardrail, origin, tier];
    parts.into_iter().flatten().collect()
}

fn outcome(attempt: &Attempt) -> Span {
    let took = figures::milliseconds(attempt.latency_ms);
    let first = attempt.first_token_ms.map(figures::milliseconds);
    let first = first.map(|first| format!(", first token after {first}")).unwrap_or_default();
    match (has_failed(attempt), attempt.error) {
        (false, _) => span(Ink::Green, format!("answered in {took}{first}")),
        (true, Some(error)) => span(Ink::Red, format!("failed with {error} after {took}{first}")),
        (true, None) => span(Ink::Red, format!("failed after {took}{first}")),
    }
}

/// Formats the tokens and the cost: `1,204 tokens in (1,000 read from the cache), 312 out; cost $0.0031`.
fn spent(attempt: &Attempt) -> String {
    let cost = figures::exact_cost(&Totals::of([attempt]));
    let Some(usage) = attempt.usage else {
        return format!("tokens unknown; cost {cost}");
    };
    let written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens;
    let cached = [(usage.cache_read_tokens, "read from"), (written, "written to")];
    let cached = cached.iter().filter(|(tokens, _)| *tokens > 0);
    let cached: Vec<String> = cached
        .map(|(tokens, how)| format!("{} {how} the cache", figures::count(*tokens)))
        .collect();
    let cached = match cached.as_slice() {
        [] => String::new(),
        cached => format!(" ({})", cached.join(", ")),
    };
    let unpriced = if attempt.is_unpriced() { ": the model has no price" } else { "" };
    let (tokens_in, tokens_out) =
        (figures::count(figures::tokens_in(&usage)), figures::count(usage.output_tokens));
    format!("{tokens_in} tokens in{cached}, {tokens_out} out; cost {cost}{unpriced}")
}
