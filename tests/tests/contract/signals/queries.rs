//! The fields and texts that a query of CloudWatch Logs Insights refers to, and those that the functions' log lines have.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::emitted::Emitted;
use crate::template::root;

/// The words of the query language that the queries use.
const WORDS: [&str; 20] = [
    "and",
    "as",
    "asc",
    "by",
    "count",
    "desc",
    "fields",
    "filter",
    "in",
    "ispresent",
    "latest",
    "like",
    "limit",
    "or",
    "parse",
    "pct",
    "sort",
    "stats",
    "sum",
    "SOURCE",
];

/// The fields that CloudWatch finds in each line, and in the report that Lambda writes for an invocation:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html>
const DISCOVERED: [&str; 10] = [
    "@timestamp",
    "@message",
    "@log",
    "@logStream",
    "@type",
    "@requestId",
    "@xrayTraceId",
    "@duration",
    "@initDuration",
    "@maxMemoryUsed",
];

/// The members of each line of the functions' log, beside its own fields.
const OF_EACH_LINE: [&str; 4] = ["timestamp", "level", "message", "trace_id"];

/// The fields and texts that a query refers to.
#[derive(Debug, Default)]
pub struct Query {
    pub fields: BTreeSet<String>,
    /// The texts that lines must have.
    pub texts: Vec<String>,
}

/// Reads a query.
pub fn query(text: &str) -> Query {
    let mut query = Query::default();
    let mut named = BTreeSet::new();
    // Every second part is within quotation marks.
    for (n, part) in text.split('"').enumerate() {
        if n % 2 == 1 {
            query.texts.push(part.to_owned());
            continue;
        }
        let mut outside = String::new();
        for (n, part) in part.split('\'').enumerate() {
            outside.push_str(if n % 2 == 0 { part } else { " " });
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '@';
        for stage in outside.split('|') {
            let words: Vec<&str> =
                stage.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
            for (n, word) in words.iter().enumerate() {
                // `parse ... as a, b` names all words to the end of the stage, and any other `as` names one.
                let is_named = n > 0 && words[n - 1] == "as" || named.contains(*word);
                if is_named {
                    named.insert((*word).to_owned());
                } else if !WORDS.contains(word) && word.parse::<f64>().is_err() {
                    query.fields.insert((*word).to_owned());
                }
            }
        }
    }
    query
}

/// Returns the fields that the lines of a function's log have.
pub fn fields_of(function: &str, emitted: &Emitted) -> BTreeSet<String> {
    let mut fields: BTreeSet<String> =
        DISCOVERED.iter().chain(&OF_EACH_LINE).map(|it| (*it).to_owned()).collect();
    fields.extend(emitted.members.get(function).into_iter().flatten().cloned());
    for source in sources(function) {
        fields.extend(logged(&source));
    }
    fields
}

/// Returns the sources of a function, and of what all functions share.
pub fn sources(function: &str) -> Vec<String> {
    let folders = [
        format!("functions/{function}/src"),
        "crates/bcce-core/src".into(),
        "crates/bcce-aws/src".into(),
    ];
    folders.iter().flat_map(|folder| files(&root().join(folder))).map(|(_, text)| text).collect()
}

/// Returns true if a function itself, not what all functions share, logs a line with one of the fields.
pub fn logs_one_of(function: &str, fields: &[&str]) -> bool {
    let own = files(&root().join(format!("functions/{function}/src")));
    own.iter().any(|(_, text)| logged(text).iter().any(|field| fields.contains(&field.as_str())))
}

/// Returns the files of Rust below a folder, with their texts.
pub fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// Returns the names of the fields in the calls of `tracing`'s macros: what is before the text of each.
fn logged(source: &str) -> BTreeSet<String> {
    let calls = ["info", "warn", "error"].map(|level| format!("tracing::{level}!("));
    let parts = calls.iter().flat_map(|call| source.split(call.as_str()).skip(1));
    let before_text = parts.map(|part| part.split('"').next().unwrap());
    let fields = before_text.flat_map(|fields| fields.split(','));
    let names =
        fields.map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['?', '%']));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_query_is_read() {
    let read = query(
        "filter a = \"b c\" and ispresent(D)\n| parse e \"f: *\" as g\n| stats count(*) as h by g | sort h",
    );
    assert_eq!(read.fields, ["D", "a", "e"].map(str::to_owned).into());
    assert_eq!(read.texts, ["b c", "f: *"]);
}

#[test]
fn the_fields_of_a_log_line_are_read() {
    let source = "tracing::warn!(run_id, step, error = name.as_str(), ?because, \"a, b\"); tracing::info!(\"c\")";
    assert_eq!(logged(source), ["run_id", "step", "error", "because"].map(str::to_owned).into());
}
