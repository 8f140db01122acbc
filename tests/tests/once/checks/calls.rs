//! No step is paid twice except for lost calls, and those are known.

use std::collections::BTreeMap;

use serde_json::Value;

use super::holds;
use crate::found::Found;

/// Run and step.
type Step = (String, String);

/// Calls of one step.
#[derive(Debug, Default)]
struct Calls {
    /// That the model saw, and those of them that it answered.
    seen: usize,
    answered: usize,
    /// That an artifact records, and those of them that were answered.
    recorded: usize,
    recorded_answers: usize,
    /// That the manifest counts as lost.
    lost: usize,
}

/// What a script has for a call that is answered.
const ANSWERS: [&str; 3] = ["answer", "kills", "held(stopped)"];

/// An answer is lost with the function that waited for it, or because it could not be stored; nothing else repeats a
/// call. The manifest counts each lost call, except those whose function was killed in the moment before it had logged
/// them, and counts no other call.
pub fn are_paid_once(found: &Found) -> Result<(), String> {
    let steps = steps(found);
    let sum = |of: fn(&Calls) -> usize| steps.values().map(of).sum::<usize>();
    let by_script = found.calls.iter().filter(|call| call["action"] == "kills").count();
    // One that is killed the moment its answer is there may not have been seen at work.
    let killed = found.hits.get("invoke").copied().unwrap_or(0).max(by_script);
    let failed = found.log.matches("the invocation failed").count();
    let (seen, recorded, lost) = (sum(|c| c.seen), sum(|c| c.recorded), sum(|c| c.lost));
    eprintln!(
        "calls: {seen} seen, {recorded} recorded, {lost} counted as lost; invoke was killed {killed} times, {by_script} of them by the model, and failed {failed} times"
    );
    let wrong = |is: fn(&Calls) -> bool| steps.iter().filter(|(_, c)| is(c)).collect::<Vec<_>>();
    let made_up = wrong(|calls| calls.seen < calls.recorded + calls.lost);
    holds(made_up.is_empty(), || format!("counted and never made: {made_up:?}"))?;
    let again = wrong(|calls| calls.answered > calls.recorded_answers);
    let paid_again = sum(|calls| calls.answered - calls.recorded_answers.min(calls.answered));
    holds(paid_again <= killed + failed, || {
        format!("{paid_again} answers are lost, and {killed} + {failed} explained: {again:?}")
    })?;
    let unknown = wrong(|calls| calls.seen > calls.recorded + calls.lost);
    let at_random = killed.saturating_sub(by_script);
    holds(seen - recorded - lost <= at_random, || {
        format!("more calls than {at_random} kills explain are counted nowhere: {unknown:?}")
    })
}

fn steps(found: &Found) -> BTreeMap<Step, Calls> {
    let mut steps: BTreeMap<Step, Calls> = BTreeMap::new();
    let key = |run: &Value, step: &Value| {
        let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (string(run), string(step))
    };
    for call in &found.calls {
        let calls = steps.entry(key(&call["run_id"], &call["step"])).or_default();
        calls.seen += 1;
        calls.answered += usize::from(ANSWERS.iter().any(|action| call["action"] == *action));
    }
    for document in found.objects.keys().filter_map(|key| found.document(key)) {
        for attempt in document["attempts"].as_array().into_iter().flatten() {
            let calls = steps.entry(key(&document["run_id"], &document["step_id"])).or_default();
            calls.recorded += 1;
            calls.recorded_answers += usize::from(attempt["outcome"] == "answered");
        }
        for step in document["steps"].as_array().into_iter().flatten() {
            let Some(lost) = step["lost_calls"].as_u64() else { continue };
            steps.entry(key(&document["run_id"], &step["id"])).or_default().lost += lost as usize;
        }
    }
    steps
}
