//! Parses a document and reports all its problems at once.
//!
//! serde stops at the first error. This module repairs that error in the document's tree, with a stand-in value if
//! necessary, and deserializes the tree again. So one pass reports every field of the wrong type. The checks of the
//! document then run on the repaired value and report every invalid value.

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::error::Problems;
use crate::base::limits::MAX_DOCUMENT_BYTES;
use crate::document::tree::MOST_FAULTS;
use crate::document::{repair, tree};

/// A document that is parsed and checked as a whole.
pub trait Document: DeserializeOwned {
    /// Checks the values of a document whose fields have the right types.
    fn check(&self) -> Problems;
}

/// A document as far as it could be parsed, with its problems.
#[derive(Debug)]
pub struct Draft<T> {
    /// The parsed value, or `None` if the document could not be repaired. If there are problems, use it only to look
    /// for further problems.
    pub value: Option<T>,
    pub problems: Problems,
    /// The fields whose value is a stand-in. No problem of these fields may be reported.
    pub stand_ins: Vec<String>,
}

impl<T> Draft<T> {
    /// Returns the value of a document without problems.
    ///
    /// # Errors
    /// Returns all problems if there are any.
    pub fn finished(self) -> Result<T, Problems> {
        match self.value {
            Some(value) => self.problems.none_or(value),
            None => Err(self.problems),
        }
    }

    /// Returns the value if no field is a stand-in.
    pub fn whole(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.stand_ins.is_empty())
    }

    /// Creates the draft of a document that could not be parsed.
    pub fn unreadable(problems: Problems) -> Self {
        Self { value: None, problems, stand_ins: Vec::new() }
    }
}

/// Parses a document in JSON. Problems of the document as a whole have the field `name`. The problems never quote a
/// value.
pub fn from_json<T: Document>(name: &str, text: &str) -> Draft<T> {
    match tree::read(text) {
        Err(cause) => Draft::unreadable(Problems::one(name, cause)),
        Ok((tree, repeated)) => {
            let mut draft = from_tree(name, tree);
            draft.problems.extend(repeated);
            draft
        }
    }
}

/// Parses JSON that is not a [`Document`]. Problems of the text as a whole have the field `name`.
///
/// # Errors
/// Returns the problems if the text is not JSON, or if a key appears twice in an object.
pub fn json(name: &str, text: &str) -> Result<Value, Problems> {
    let (tree, repeated) = tree::read(text).map_err(|cause| Problems::one(name, cause))?;
    if repeated.is_empty() { Ok(tree) } else { Err(repeated.below(name)) }
}

/// Parses a document in YAML of at most 256 KiB. Problems of the document as a whole have the field `document`.
pub fn from_yaml<T: Document>(text: &str) -> Draft<T> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let cause = format!("is {} bytes (limit: {MAX_DOCUMENT_BYTES})", text.len());
        return Draft::unreadable(Problems::one(DOCUMENT, cause));
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(tree) => from_tree(DOCUMENT, tree),
        Err(error) => {
            // The first line names the cause and the place. The following lines quote the document.
            let message = error.to_string();
            let first = message.lines().next().unwrap_or("is not YAML");
            let cause = first.trim_start_matches("error: ").to_owned();
            Draft::unreadable(Problems::one(DOCUMENT, cause))
        }
    }
}

/// The field of a problem of a YAML document as a whole.
const DOCUMENT: &str = "document";

/// Deserializes `tree`, repairing one error after another, and checks the value.
fn from_tree<T: Document>(name: &str, mut tree: Value) -> Draft<T> {
    // serde would accept a list as the fields of an object in order.
    if !tree.is_object() {
        return Draft::unreadable(Problems::one(name, "must be an object"));
    }
    let mut problems = Problems::default();
    let mut stand_ins = Vec::new();
    for _ in 0..MOST_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(&tree) {
            Err(error) => error,
            Ok(value) => {
                problems.extend(value.check().except(&stand_ins));
                return Draft { value: Some(value), problems, stand_ins };
            }
        };
        let repaired = repair::repair::<T>(name, &mut tree, &error);
        problems.extend(Problems::one(repaired.field, repaired.cause).except(&stand_ins));
        match repaired.stand_ins {
            Some(fields) => stand_ins.extend(fields),
            None => break,
        }
    }
    Draft::unreadable(problems)
}
