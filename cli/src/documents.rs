//! Compares the configuration in a stack with a directory. The stack keeps each document in an SSM parameter that holds
//! the text or a pointer to it.

use std::collections::BTreeMap;

use bcce_core::base::error::Fault;
use bcce_core::config::directory;
use bcce_core::config::directory::{DOCUMENTS, FOLDERS, document_name};
use bcce_core::config::documents::parameter_name;
use bcce_core::io::reader;
use bcce_core::ports::{GetObject, GetParameters, ListParameters};
use futures::future::try_join_all;

use crate::directory::Texts;
use crate::exit::Outcome;
use crate::stack::Stack;

/// The text of a document in the stack, or the reason why it cannot be read.
pub type Kept = Result<String, String>;

/// The differences between a directory and a stack.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    /// The documents of the directory.
    pub documents: Vec<Document>,
    /// The parameters of workflows and webhooks without a file, each with the reason if it is broken. A push never
    /// deletes a document.
    pub left: Vec<(String, Option<String>)>,
}

/// A document of the directory, compared with the stack.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// The path within the directory.
    pub file: String,
    /// The name of the document, such as `workflows/explain`.
    pub name: String,
    /// The name of the SSM parameter.
    pub parameter: String,
    /// The text of the file.
    pub text: String,
    pub state: State,
}

/// The state of a document in the stack, compared with the file.
#[derive(Debug, PartialEq)]
pub enum State {
    Unchanged,
    New,
    /// The text differs. This is the text in the stack.
    Changed(String),
    /// The document in the stack is invalid, so no run can be planned with it.
    Broken {
        cause: String,
        /// The text in the stack, if it can be read.
        text: Option<String>,
    },
}

impl Document {
    /// Returns true if a push would write the document.
    pub fn differs(&self) -> bool {
        self.state != State::Unchanged
    }
}

impl Comparison {
    /// Compares the files of a directory with the stack.
    ///
    /// # Errors
    /// A document that has a file cannot be read from the stack.
    pub async fn of(stack: &Stack, files: &Texts) -> Outcome<Self> {
        let names = DOCUMENTS.map(|name| parameter_name(&stack.environment, name));
        let found = stack.parameters.parameters(&names).await?.into_iter();
        let mut values: BTreeMap<String, String> =
            found.map(|(name, parameter)| (name, parameter.value)).collect();
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
                // A document that a push would not write must not make the push fail.
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

/// Reads the document in the parameter with this value. Its pointer is followed.
///
/// # Errors
/// `Bcce.Internal`: the object cannot be read.
pub async fn kept(store: &impl GetObject, bucket: &str, value: &str) -> Result<Kept, Fault> {
    let followed = reader::follow_pointer(store, bucket, value).await?;
    Ok(followed.map_err(|problems| problems.to_string()))
}

/// Compares the files with `current`, the documents in the stack by parameter.
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
        // Only the text counts. Another client may have stored the same text at another key.
        Some(Ok(before)) if before == text => State::Unchanged,
        Some(Ok(before)) => match fault(file, &before) {
            Some(cause) => State::Broken { cause, text: Some(before) },
            None => State::Changed(before),
        },
        Some(Err(cause)) => State::Broken { cause, text: None },
    }
}

/// Returns the faults of a text that do not depend on other documents, as the document of `file`.
fn fault(file: &str, text: &str) -> Option<String> {
    let alone = Texts::from([(file.to_owned(), text.to_owned())]);
    let findings = directory::check(&alone);
    let own = findings.iter().filter(|finding| finding.file == file);
    let causes: Vec<String> = own.map(|finding| finding.problem.to_string()).collect();
    (!causes.is_empty()).then(|| causes.join("; "))
}

#[cfg(test)]
pub mod tests;
