//! Reads rows of JSON Lines: a JSON object on each line.

use serde_json::Value;

use crate::base::error::Problems;
use crate::base::limits::MAX_REQUEST_BYTES;
use crate::batch::reader::{Row, text};
use crate::document;

/// The line that is being read.
#[derive(Default)]
pub(super) struct Lines {
    /// The number of complete lines.
    before: u64,
    bytes: Vec<u8>,
    /// True if the line is too long. Its bytes are dropped.
    is_too_long: bool,
}

impl Lines {
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Row)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                None => self.add(piece),
                Some(last) => {
                    self.add(last);
                    self.finish(each);
                }
            }
        }
    }

    pub fn finish(&mut self, each: &mut dyn FnMut(Row)) {
        self.before += 1;
        if std::mem::take(&mut self.is_too_long) {
            each(Row::too_long(self.before));
        } else if !self.bytes.trim_ascii().is_empty() {
            each(row(self.before, self.bytes.trim_ascii_end()));
        }
        self.bytes.clear();
    }

    fn add(&mut self, bytes: &[u8]) {
        self.is_too_long |= self.bytes.len() + bytes.len() > MAX_REQUEST_BYTES;
        if self.is_too_long { self.bytes.clear() } else { self.bytes.extend_from_slice(bytes) }
    }
}

fn row(line: u64, bytes: &[u8]) -> Row {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(place) => return Row::bad(line, format!("is not UTF-8, at byte {place}")),
    };
    let value = document::json("line", text).and_then(|value| match value {
        Value::Object(object) => Ok(object),
        _ => Err(Problems::one("line", "must be an object")),
    });
    Row { line, value }
}
