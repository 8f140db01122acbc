//! Checks that a step is paid twice only if a call was lost, and that lost calls are counted.

use std::collections::BTreeMap;

use serde_json::Value;

use super::holds;
use crate::found::Found;

/// The ids of a run and a step.
type Step = (String, String);

/// The numbers of calls of one step.
#[derive(Debug, Default)]
struct Calls {
    /// The calls that the model received.
    seen: usize,
    /// The calls that the model answered.
    answered: usize,
    /// The calls that an artifact records.
    recorded: usize,
    /// The recorded calls that were answered.
    recorded_answers: usize,
    /// The calls that the manifest counts as lost.
    lost: usize,
}

/// The scripted actions of a call that is answered.
const ANSWERS: [&str; 3] = ["answer", "kills", "held(stopped)"];

/// Checks the calls of all steps. An answer is lost only if the function that waits for it is killed, or if it cannot
/// be stored, and nothing else repeats a call. The manifest counts each lost call and no other call. A call is logged
/// while it is sent, so a function that is killed at that moment leaves a call without an entry, or an entry without a
/// call. Each such difference needs a kill that is not the model's.
pub fn are_paid_once(found: &Found) -> Result<(), String> {
    let steps = steps(found);
    let sum = |of: fn(&Calls) -> usize| steps.values().map(of).sum::<usize>();
    let by_script = found.calls.iter().filter(|call| call["action"] == "kills").count();
    // The emulator may not report a function as killed at work if it is killed at the moment when its answer arrives.
    let killed = found.hits.get("invoke").copied().unwrap_or(0).max(by_script);
    let failed = found.log.matches("the invocation failed").count();
    let (seen, recorded, lost) = (sum(|c| c.seen), sum(|c| c.recorded), sum(|c| c.lost));
    eprintln!(
        "calls: {seen} seen, {recorded} recorded, {lost} counted as lost; invoke was killed {killed} times, {by_script} of them by the model, and failed {failed} times"
    );
    let wrong = |is: fn(&Calls) -> bool| steps.iter().filter(|(_, c)| is(c)).collect::<Vec<_>>();
    let again = wrong(|calls| calls.answered > calls.recorded_answers);
    let paid_again = sum(|calls| calls.answered - calls.recorded_answers.min(calls.answered));
    holds(paid_again <= killed + failed, || {
        format!(
            "{paid_again} answers are lost, {killed} kills and {failed} failures explain fewer: {again:?}"
        )
    })?;
    let miscounted = wrong(|calls| calls.seen != calls.recorded + calls.lost);
    let differences = sum(|calls| calls.seen.abs_diff(calls.recorded + calls.lost));
    let at_random = killed.saturating_sub(by_script);
    holds(differences <= at_random, || {
        format!(
            "{differences} calls are counted that the model did not receive, or received and not counted. \
             {at_random} kills explain fewer: {miscounted:?}"
        )
    })
}

/// Returns the numbers of calls of each step.
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
