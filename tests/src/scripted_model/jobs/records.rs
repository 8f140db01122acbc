//! Reads the records of a job and computes their results.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::store::Store;
use crate::scripted_model::model::Model;
use crate::scripted_model::outcome::Outcome;
use crate::scripted_model::path::Operation;
use crate::scripted_model::prompt::Prompt;
use crate::scripted_model::reply::{Refusal, Reply};
use crate::scripted_model::script::Script;
use crate::scripted_model::stream::Piece;

/// The minimum number of records. It is the initial quota of an account for Claude models.
const FEWEST: usize = 100;

#[derive(Debug)]
pub struct Record {
    /// The last part of the key of its file.
    pub file: String,
    id: String,
    input: Value,
    pub outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    record_id: Option<String>,
    model_input: Option<Value>,
}

/// Reads the records at `input`, which is an object or a prefix. Of the objects below a prefix, reads the `.jsonl`
/// files.
///
/// # Errors
/// The reason why the job is invalid.
pub async fn read(store: &Store, input: &str) -> Result<Vec<Record>, String> {
    let below = input.ends_with('/');
    let found = store.list(input).await?;
    let files = found.iter().filter(|uri| uri.ends_with(".jsonl") && (below || *uri == input));
    let mut records = Vec::new();
    for uri in files {
        let body = String::from_utf8(store.get(uri).await?).map_err(|error| error.to_string())?;
        let file = uri.rsplit('/').next().unwrap_or_default();
        for (n, line) in body.lines().enumerate() {
            let read = record(file, records.len(), line);
            records.push(read.map_err(|error| format!("{file}, line {}: {error}", n + 1))?);
        }
    }
    Ok(records)
}

/// Returns the service's message if a job has too few records. The service does not check their bodies at this point.
pub fn too_few(records: usize) -> Option<String> {
    (records < FEWEST).then(|| {
        format!(
            "Batch job contains less records ({records}) than the required minimum of: {FEWEST}"
        )
    })
}

fn record(file: &str, n: usize, line: &str) -> Result<Record, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let input = line.model_input.ok_or("modelInput is missing")?;
    let id = line.record_id.unwrap_or_else(|| format!("NONE{n:07}"));
    // An error in the script is reported in the result of the record.
    let mut prompt = Prompt::parse(input.to_string().as_bytes()).ok();
    let script = prompt.as_mut().and_then(|prompt| Script::take(prompt).ok());
    let outcomes = script.map(|script| script.outcomes).unwrap_or_default();
    Ok(Record { file: file.to_owned(), id, input, outcomes })
}

/// The result of a record.
pub struct Done {
    pub line: Value,
    pub is_error: bool,
    /// The processing time.
    pub pause: Duration,
}

impl Record {
    pub fn is_never_done(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Never))
    }

    pub fn is_lost(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Lost))
    }

    pub fn answer(&self, model: &Model, region: &str, model_id: &str) -> Done {
        let error = self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Error(status) => Some(*status),
            _ => None,
        });
        if let Some(status) = error {
            return self.failed(status, "The script makes this record fail.");
        }
        let operation =
            Operation { region: region.to_owned(), model_id: model_id.to_owned(), stream: false };
        match model.call(&operation, self.input.to_string().as_bytes()) {
            Reply::Json(pieces) => self.answered(&pieces),
            Reply::Refused(Refusal { status, message, .. }) => self.failed(status, &message),
            Reply::Events(_) | Reply::Reset | Reply::Silent => {
                self.failed(500, "The system encountered an unexpected error during processing.")
            }
        }
    }

    fn answered(&self, pieces: &[Piece]) -> Done {
        let pause = pieces.iter().map(|piece| match piece {
            Piece::Pause(pause) => *pause,
            _ => Duration::ZERO,
        });
        let body = pieces.iter().find_map(|piece| match piece {
            Piece::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
            _ => None,
        });
        let output: Value = body.unwrap_or_default();
        let line = json!({ "recordId": self.id, "modelInput": self.input, "modelOutput": output });
        Done { line, is_error: false, pause: pause.sum() }
    }

    fn failed(&self, status: u16, message: &str) -> Done {
        let error = json!({ "errorCode": status, "errorMessage": message });
        let line = json!({ "recordId": self.id, "modelInput": self.input, "error": error });
        Done { line, is_error: true, pause: Duration::ZERO }
    }
}
