//! Formats a completion as the events of ConverseStream.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::completion::{Completion, Ending};
use super::frame;
use super::message::SIGNATURE;

/// The number of words in one delta. It is small, like a model's, so that an answer has several deltas and a stream can
/// break between them.
const WORDS_PER_DELTA: usize = 4;

/// The body of a response, piece by piece.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Bytes(Bytes),
    Pause(Duration),
    /// Sends empty tokens until this name is released.
    Held(String),
    /// Sends nothing more and leaves the connection open.
    Hang,
    /// Breaks the connection.
    Break,
    /// Kills the process at the other end of the connection.
    Kill,
}

/// Returns an empty token, for a stream that is held.
pub fn empty_token() -> Bytes {
    let delta = json!({ "contentBlockIndex": 0, "delta": { "text": "" } });
    frame::event("contentBlockDelta", &delta)
}

type Event = (&'static str, Value);

/// Returns the body of the response, piece by piece.
pub fn pieces(completion: &Completion) -> Vec<Piece> {
    let events = events(completion);
    let middle = middle(&events);
    let frames: Vec<Bytes> = events.iter().map(|(kind, value)| frame::event(kind, value)).collect();
    let mut sent = match &completion.ending {
        Ending::Whole | Ending::Killed => frames,
        Ending::NoStop => without_stop(&events, frames),
        Ending::BadCrc => with_one_bad(frames, middle),
        Ending::Cut => {
            let torn = frames[middle].slice(..frames[middle].len() / 2);
            frames[..middle].iter().cloned().chain([torn]).collect()
        }
        Ending::Stall | Ending::EndsEarly => frames[..middle].to_vec(),
        Ending::Exception(name) => {
            let error = frame::exception(name, "The script requests this exception.");
            frames[..middle].iter().cloned().chain([error]).collect()
        }
    }
    .into_iter()
    .map(Piece::Bytes)
    .collect::<Vec<_>>();
    if !completion.delay.is_zero() {
        sent.insert(0, Piece::Pause(completion.delay));
    }
    if let Some(name) = &completion.hold {
        // The hold follows `messageStart`.
        sent.insert(1, Piece::Held(name.clone()));
    }
    match completion.ending {
        Ending::Stall => sent.push(Piece::Hang),
        Ending::Cut => sent.push(Piece::Break),
        Ending::Killed => sent.push(Piece::Kill),
        _ => {}
    }
    sent
}

fn without_stop(events: &[Event], frames: Vec<Bytes>) -> Vec<Bytes> {
    let kept = events.iter().zip(frames).filter(|((kind, _), _)| *kind != "messageStop");
    kept.map(|(_, frame)| frame).collect()
}

fn with_one_bad(mut frames: Vec<Bytes>, middle: usize) -> Vec<Bytes> {
    frames[middle] = frame::with_wrong_checksum(&frames[middle]);
    frames
}

fn events(completion: &Completion) -> Vec<Event> {
    let mut events = vec![("messageStart", json!({ "role": "assistant" }))];
    let mut blocks = 0;
    let mut block = |deltas: Vec<Value>| {
        if deltas.is_empty() {
            return;
        }
        let delta =
            |delta| ("contentBlockDelta", json!({ "contentBlockIndex": blocks, "delta": delta }));
        events.extend(deltas.into_iter().map(delta));
        events.push(("contentBlockStop", json!({ "contentBlockIndex": blocks })));
        blocks += 1;
    };
    if let Some(thinking) = &completion.thinking {
        let texts = deltas(thinking).map(|text| json!({ "text": text }));
        let all = texts.chain([json!({ "signature": SIGNATURE })]);
        block(all.map(|part| json!({ "reasoningContent": part })).collect());
    }
    block(deltas(&completion.text).map(|text| json!({ "text": text })).collect());
    events.push(("messageStop", json!({ "stopReason": completion.stop_reason })));
    if let Some(usage) = &completion.usage {
        let metadata = json!({ "usage": usage.to_json(), "metrics": completion.metrics() });
        events.push(("metadata", served(completion, metadata)));
    }
    events
}

/// Adds the service tier and the guardrail trace to the metadata. The trace has an assessment of the input and one of
/// the output.
fn served(completion: &Completion, mut metadata: Value) -> Value {
    if let Some(tier) = &completion.service_tier {
        metadata["serviceTier"] = json!({ "type": tier });
    }
    if !completion.guardrail_origin.is_empty() {
        let applied = json!({ "guardrailId": "g", "guardrailOrigin": completion.guardrail_origin });
        let assessed = json!({ "appliedGuardrailDetails": applied });
        metadata["trace"] = json!({ "guardrail": {
            "inputAssessment": { "g": assessed },
            "outputAssessments": { "g": [assessed] },
        }});
    }
    metadata
}

/// Returns the index after the middle delta, at which a broken stream breaks. There is always an event at this index:
/// `messageStop`, or an earlier one.
fn middle(events: &[Event]) -> usize {
    let deltas: Vec<usize> =
        (0..events.len()).filter(|&at| events[at].0 == "contentBlockDelta").collect();
    deltas.get(deltas.len() / 2).map_or(1, |at| at + 1)
}

/// Splits the text into pieces of a few words. Joined, the pieces are the text.
fn deltas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut words = 0;
        let end = rest
            .split_inclusive(char::is_whitespace)
            .take_while(|part| {
                words += usize::from(!part.trim().is_empty());
                words <= WORDS_PER_DELTA
            })
            .map(str::len)
            .sum();
        let (delta, after) = rest.split_at(end);
        rest = after;
        (!delta.is_empty()).then_some(delta)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::completion::Manner;
    use crate::scripted_model::frame::tests::decode;
    use crate::scripted_model::prompt::{Prompt, tests::body};

    const TEXT: &str = "## Heading\n\n- one two three four\n- five six seven eight nine";

    fn pieces_of(change: impl FnOnce(&mut Manner)) -> Vec<Piece> {
        let mut manner = Manner { said: Some(TEXT.into()), ..Manner::default() };
        change(&mut manner);
        let prompt = Prompt::parse(body("w", "s", "x").to_string().as_bytes()).unwrap();
        pieces(&Completion::new(manner, &prompt).unwrap())
    }

    fn bytes(pieces: &[Piece]) -> Vec<u8> {
        let bytes = pieces.iter().filter_map(|piece| match piece {
            Piece::Bytes(bytes) => Some(bytes.to_vec()),
            _ => None,
        });
        bytes.flatten().collect()
    }

    fn kinds(pieces: &[Piece]) -> Vec<String> {
        decode(&bytes(pieces)).into_iter().map(|(kind, _)| kind).collect()
    }

    fn said(pieces: &[Piece], pointer: &str) -> String {
        let parts = decode(&bytes(pieces)).into_iter();
        parts.filter_map(|(_, event)| Some(event.pointer(pointer)?.as_str()?.to_owned())).collect()
    }

    #[test]
    fn the_deltas_join_to_the_text_and_the_events_come_in_bedrocks_order() {
        let pieces = pieces_of(|_| {});
        assert_eq!(said(&pieces, "/delta/text"), TEXT);
        let kinds = kinds(&pieces);
        let deltas = kinds.iter().filter(|kind| *kind == "contentBlockDelta").count();
        assert_eq!(deltas, 4);
        assert_eq!(kinds[0], "messageStart");
        assert_eq!(kinds[5..], ["contentBlockStop", "messageStop", "metadata"]);
    }

    #[test]
    fn thinking_is_a_block_of_its_own_before_the_answer() {
        let pieces = pieces_of(|manner| manner.thinks = true);
        assert!(said(&pieces, "/delta/reasoningContent/text").contains("words to look at"));
        assert_eq!(said(&pieces, "/delta/reasoningContent/signature"), SIGNATURE);
        assert_eq!(said(&pieces, "/delta/text"), TEXT);
        let blocks: Vec<_> = decode(&bytes(&pieces))
            .into_iter()
            .filter(|(kind, _)| kind == "contentBlockStop")
            .map(|(_, event)| event["contentBlockIndex"].clone())
            .collect();
        assert_eq!(blocks, [0, 1]);
    }

    #[test]
    fn a_stream_that_ends_early_or_stalls_has_some_deltas_and_no_stop() {
        for (ending, last) in [(Ending::EndsEarly, None), (Ending::Stall, Some(Piece::Hang))] {
            let pieces = pieces_of(|manner| manner.ending = ending.clone());
            let kinds = kinds(&pieces);
            assert_eq!(
                kinds,
                ["messageStart", "contentBlockDelta", "contentBlockDelta", "contentBlockDelta"]
            );
            assert_eq!(pieces.len(), kinds.len() + usize::from(last.is_some()));
            assert!(last.is_none_or(|last| pieces.last() == Some(&last)));
        }
    }

    #[test]
    fn a_cut_leaves_half_a_frame_and_breaks_the_connection() {
        let whole = pieces_of(|_| {});
        let cut = pieces_of(|manner| manner.ending = Ending::Cut);
        let Some([Piece::Bytes(torn), Piece::Break]) = cut.last_chunk() else {
            panic!("{cut:?}");
        };
        let Piece::Bytes(frame) = &whole[cut.len() - 2] else { panic!() };
        assert!(!torn.is_empty() && torn.len() < frame.len() && frame.starts_with(torn));
    }

    #[test]
    fn a_stream_without_a_stop_has_all_other_events() {
        let kinds = kinds(&pieces_of(|manner| manner.ending = Ending::NoStop));
        assert!(!kinds.contains(&"messageStop".to_owned()));
        assert_eq!(kinds.last().unwrap(), "metadata");
    }

    #[test]
    fn an_error_event_ends_the_stream() {
        let ending = Ending::Exception("throttlingException".into());
        let kinds = kinds(&pieces_of(|manner| manner.ending = ending));
        assert_eq!(kinds[kinds.len() - 2..], ["contentBlockDelta", "throttlingException"]);
    }

    #[test]
    #[should_panic(expected = "Checksum")]
    fn a_bad_checksum_stops_the_decoder() {
        kinds(&pieces_of(|manner| manner.ending = Ending::BadCrc));
    }

    #[test]
    fn an_empty_answer_has_no_block_and_can_still_break() {
        let said = |manner: &mut Manner| manner.said = Some(String::new());
        assert_eq!(kinds(&pieces_of(said)), ["messageStart", "messageStop", "metadata"]);
        let cut = pieces_of(|manner| (said(manner), manner.ending = Ending::Cut).1);
        assert_eq!(cut.len(), 3);
    }
}
