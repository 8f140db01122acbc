//! Reads a document from text to value and reports everything that is wrong with it at once.
//!
//! serde stops at the first fault. What it stopped at is put right in the document's tree, with a
//! stand-in where nothing better is known, and the rest is read again: so one look shows every field of a
//! wrong shape and, on the repaired value, every value that makes no sense.

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::error::Problems;
use crate::base::limits::MAX_DOCUMENT_BYTES;
use crate::document::tree::MOST_FAULTS;
use crate::document::{repair, tree};

/// What is read as a whole and checked as a whole.
pub trait Document: DeserializeOwned {
    /// What is wrong with a document of the right shape.
    fn check(&self) -> Problems;
}

/// A document as far as it could be read, and what is wrong with it.
#[derive(Debug)]
pub struct Draft<T> {
    /// `None`: not even repaired. With problems it is good for nothing but looking for more of them.
    pub value: Option<T>,
    pub problems: Problems,
    /// Fields whose value is not the document's own, so that nothing can be said of them.
    pub stand_ins: Vec<String>,
}

impl<T> Draft<T> {
    /// # Errors
    /// Everything that is wrong.
    pub fn finished(self) -> Result<T, Problems> {
        match self.value {
            Some(value) => self.problems.none_or(value),
            None => Err(self.problems),
        }
    }

    /// The value, if it is the document's own in every field.
    pub fn whole(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.stand_ins.is_empty())
    }

    pub fn unreadable(problems: Problems) -> Self {
        Self { value: None, problems, stand_ins: Vec::new() }
    }
}

/// `name` is what the whole is called in messages. The causes never quote a value.
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

/// Parses JSON that is not a [`Document`]. Problems call it `name`.
///
/// # Errors
/// It is none, or a key stands twice in an object.
pub fn json(name: &str, text: &str) -> Result<Value, Problems> {
    let (tree, repeated) = tree::read(text).map_err(|cause| Problems::one(name, cause))?;
    if repeated.is_empty() { Ok(tree) } else { Err(repeated.below(name)) }
}

pub fn from_yaml<T: Document>(text: &str) -> Draft<T> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let cause = format!("is {} bytes, the most is {MAX_DOCUMENT_BYTES}", text.len());
        return Draft::unreadable(Problems::one(DOCUMENT, cause));
    }
    match serde_saphyr::from_str::<Value>(text) {
        Ok(tree) => from_tree(DOCUMENT, tree),
        Err(error) => {
            // The first line names the cause and the place; what follows quotes the document.
            let message = error.to_string();
            let first = message.lines().next().unwrap_or("is not YAML");
            let cause = first.trim_start_matches("error: ").to_owned();
            Draft::unreadable(Problems::one(DOCUMENT, cause))
        }
    }
}

const DOCUMENT: &str = "document";

fn from_tree<T: Document>(name: &str, mut tree: Value) -> Draft<T> {
    // serde would take a list for an object's fields in their order.
    if !tree.is_object() {
        return Draft::unreadable(Problems::one(name, "must be an object"));
    }
    let mut problems = Problems::default();
    let mut stand_ins = Vec::new();
    for _ in 0..MOST_FAULTS {
        let error = match serde_path_to_error::deserialize::<_, T>(&tree) {
            Err(error) => error,
            Ok(value) => {
                problems.extend(value.check().beside(&stand_ins));
                return Draft { value: Some(value), problems, stand_ins };
            }
        };
        let repaired = repair::repair::<T>(name, &mut tree, &error);
        problems.extend(Problems::one(repaired.field, repaired.cause).beside(&stand_ins));
        match repaired.stand_ins {
            Some(fields) => stand_ins.extend(fields),
            None => break,
        }
    }
    Draft::unreadable(problems)
}
