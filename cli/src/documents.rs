//! The configuration as the stack keeps it: an SSM parameter per document, with the text or a pointer
//! to it, and how that differs from a directory.

use std::collections::BTreeMap;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::error::Fault;
use bcce_core::config::directory;
use bcce_core::config::directory::{DOCUMENTS, FOLDERS, document_name};
use bcce_core::config::documents::{Pointer, fits_parameter, parameter_name};
use bcce_core::io::reader;
use bcce_core::ports::{GetObject, GetParameters, ListParameters};
use futures::future::try_join_all;
use time::Date;

use crate::directory::Texts;
use crate::exit::Outcome;
use crate::stack::Stack;

/// The text of a document, or why there is none.
pub type Kept = Result<String, String>;

/// What a push would make of a stack.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    pub documents: Vec<Document>,
    /// Workflows and webhooks that have no file, by parameter. They go on to work, or not, for the reason given;
    /// taking one away is not a push's business.
    pub left: Vec<(String, Option<String>)>,
}

#[derive(Debug, PartialEq)]
pub struct Document {
    /// Path within the directory.
    pub file: String,
    /// As in the parameter's name below the environment.
    pub name: String,
    pub parameter: String,
    /// Of the file.
    pub text: String,
    pub state: State,
}

/// How the stack has a document.
#[derive(Debug, PartialEq)]
pub enum State {
    Unchanged,
    New,
    /// With another text.
    Changed(String),
    /// No run can be planned with it.
    Broken {
        cause: String,
        /// The text, where there is one.
        text: Option<String>,
    },
}

impl Document {
    pub fn differs(&self) -> bool {
        self.state != State::Unchanged
    }
}

impl Comparison {
    pub async fn of(stack: &Stack, files: &Texts) -> Outcome<Self> {
        let names = DOCUMENTS.map(|name| parameter_name(&stack.environment, name));
        let mut values = stack.parameters.parameters(&names).await?;
        for folder in FOLDERS {
            let path = parameter_name(&stack.environment, folder);
            values.extend(stack.parameters.below(&path).await?);
        }
        let (store, bucket) = (&stack.store, &stack.outputs.artifact_bucket);
        let with_file: Vec<String> = files
            .keys()
            .filter_map(|file| Some(parameter_name(&stack.environment, document_name(file)?)))
            .collect();
        let read = values.iter().map(async |(parameter, value)| {
            match kept(store, bucket, value).await {
                // What a push leaves must not keep it from the rest.
                Err(fault) if !with_file.contains(parameter) => {
                    Ok(Err(format!("cannot be read: {}", fault.message)))
                }
                read => read,
            }
        });
        let read = try_join_all(read).await?;
        Ok(compare(&stack.environment, files, values.into_keys().zip(read).collect()))
    }

    /// Counts the documents that a push would write.
    pub fn differing(&self) -> usize {
        self.documents.iter().filter(|document| document.differs()).count()
    }
}

async fn kept(store: &impl GetObject, bucket: &str, value: &str) -> Result<Kept, Fault> {
    let followed = reader::follow_pointer(store, bucket, value).await?;
    Ok(followed.map_err(|problems| problems.to_string()))
}

/// `current` is what the stack has, by parameter.
fn compare(environment: &str, files: &Texts, mut current: BTreeMap<String, Kept>) -> Comparison {
    let mut documents = Vec::new();
    for (file, text) in files {
        let Some(name) = document_name(file) else { continue };
        let parameter = parameter_name(environment, name);
        documents.push(Document {
            file: file.clone(),
            name: name.to_owned(),
            state: state(file, text, current.remove(&parameter)),
            parameter,
            text: text.clone(),
        });
    }
    let left = current.into_iter().map(|(parameter, kept)| (parameter, kept.err())).collect();
    Comparison { documents, left }
}

fn state(file: &str, text: &str, kept: Option<Kept>) -> State {
    match kept {
        None => State::New,
        // Where the text lies is no difference: another client may have put it elsewhere.
        Some(Ok(before)) if before == text => State::Unchanged,
        Some(Ok(before)) => match fault(file, &before) {
            Some(cause) => State::Broken { cause, text: Some(before) },
            None => State::Changed(before),
        },
        Some(Err(cause)) => State::Broken { cause, text: None },
    }
}

/// Returns what is wrong with a text in itself, as the document that `file` is.
fn fault(file: &str, text: &str) -> Option<String> {
    // The day counts for what documents say of each other.
    let alone = Texts::from([(file.to_owned(), text.to_owned())]);
    let findings = directory::check(&alone, Date::MAX);
    let own = findings.iter().filter(|finding| finding.file == file);
    let causes: Vec<String> = own.map(|finding| finding.problem.to_string()).collect();
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// How a document is kept.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// Of the SSM parameter: the text itself, or where it lies.
    pub value: String,
    /// Of the object with the text.
    pub key: Option<String>,
}

impl Entry {
    /// Workflows and webhooks always lie in S3: SSM refuses `{{ }}`, and one rule is easier to follow than two.
    pub fn of(bucket: &str, document: &Document) -> Self {
        let Document { name, text, .. } = document;
        if fits_parameter(text) && DOCUMENTS.contains(&name.as_str()) {
            return Self { value: text.clone(), key: None };
        }
        let key = format!("config/{name}/{}.yaml", sha256_hex(text.as_bytes()));
        let pointer = Pointer::to(bucket, &key, text.as_bytes());
        Self { value: serde_json::to_string(&pointer).unwrap_or_default(), key: Some(key) }
    }
}

#[cfg(test)]
pub mod tests;
