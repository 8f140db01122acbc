//! Encodes event-stream frames with the crate that the SDK uses to decode them.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use serde_json::{Value, json};

/// Returns the frame of an event. `kind` is in Bedrock's spelling, such as `contentBlockDelta`.
pub fn event(kind: &str, payload: &Value) -> Bytes {
    encode([(":message-type", "event"), (":event-type", kind)], payload)
}

/// Returns the frame of an error inside the stream. `name` is in lower camel case, such as `throttlingException`.
pub fn exception(name: &str, message: &str) -> Bytes {
    let headers = [(":message-type", "exception"), (":exception-type", name)];
    encode(headers, &json!({ "message": message }))
}

/// Returns the frame with one bit of its message checksum changed.
pub fn with_wrong_checksum(frame: &Bytes) -> Bytes {
    let mut bytes = frame.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}

fn encode(headers: [(&'static str, &str); 2], payload: &Value) -> Bytes {
    let content_type = (":content-type", "application/json");
    let message = headers
        .into_iter()
        .chain([content_type])
        .map(|(name, value)| Header::new(name, HeaderValue::String(value.to_owned().into())))
        .fold(Message::new(payload.to_string()), Message::add_header);
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame)
        .expect("three short headers and a small payload are valid");
    frame.into()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, read_message_from};
    use aws_smithy_eventstream::smithy::parse_response_headers;

    /// Decodes all frames with the SDK's decoder. Returns the type and the payload of each.
    pub fn decode(bytes: &[u8]) -> Vec<(String, Value)> {
        let (mut decoder, mut rest, mut frames) = (MessageFrameDecoder::new(), bytes, Vec::new());
        while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut rest).unwrap() {
            let headers = parse_response_headers(&message).unwrap();
            assert_eq!(headers.content_type().unwrap(), "application/json");
            let payload = serde_json::from_slice(message.payload()).unwrap();
            frames.push((headers.smithy_type.as_str().to_owned(), payload));
        }
        frames
    }

    #[test]
    fn an_event_decodes_to_what_was_encoded() {
        let frame = event("messageStop", &json!({ "stopReason": "end_turn" }));
        let decoded = decode(&frame);
        assert_eq!(decoded, [("messageStop".to_owned(), json!({ "stopReason": "end_turn" }))]);
    }

    #[test]
    fn an_exception_has_its_message_type() {
        let message = read_message_from(exception("throttlingException", "slow down")).unwrap();
        let headers = parse_response_headers(&message).unwrap();
        assert_eq!(headers.message_type.as_str(), "exception");
        assert_eq!(headers.smithy_type.as_str(), "throttlingException");
        assert_eq!(&message.payload()[..], br#"{"message":"slow down"}"#);
    }

    #[test]
    fn a_wrong_checksum_is_refused_by_the_decoder_and_the_right_one_is_not() {
        let frame = event("messageStart", &json!({ "role": "assistant" }));
        assert!(read_message_from(frame.clone()).is_ok());
        let error = read_message_from(with_wrong_checksum(&frame)).unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }
}
