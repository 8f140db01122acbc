//! Selects and prints the log lines of a run. Functions write lines of JSON, with the ids of the run and of the batch as
//! fields.

use std::collections::BTreeMap;

use bcce_aws::logs::LogLine;
use bcce_core::batch::packed::PackedPlace;
use clap::ValueEnum;
use serde_json::{Map, Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::paint::{Ink, Line, span};

/// The level of a line. The most severe one is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
    Error,
    Warn,
    Info,
}

/// The run whose lines are wanted.
#[derive(Debug)]
pub struct Subject<'a> {
    pub run_id: &'a str,
    /// The places of its packed attempts. Lines about a part of a batch do not have the ids of the runs in it.
    pub places: Vec<&'a PackedPlace>,
}

/// A line as a function wrote it.
pub struct Entry {
    line: LogLine,
    /// The fields of the line, if it is JSON. Lambda writes other lines, too.
    fields: Option<Map<String, Value>>,
}

impl Subject<'_> {
    /// Returns the texts of which each line has one.
    pub fn terms(&self) -> Vec<String> {
        let batches = self.places.iter().map(|place| place.batch.batch_id.clone());
        let mut terms: Vec<String> = batches.chain([self.run_id.to_owned()]).collect();
        terms.sort();
        terms.dedup();
        terms
    }

    /// Returns true if a line that was found by `term` is about the run. A line with the ids of the run and of its batch
    /// is found by both, and counts only for that of the run.
    pub fn has(&self, entry: &Entry, term: &str) -> bool {
        let is_found_by_run = term == self.run_id;
        // A line that is not JSON has no other mark than the text.
        let Some(fields) = &entry.fields else { return is_found_by_run };
        if fields.contains_key("_aws") {
            return false; // a document of metrics
        }
        let field = |name: &str| fields.get(name);
        match field("run_id") {
            Some(run_id) => is_found_by_run && run_id == self.run_id,
            None if is_found_by_run => true,
            None => self.places.iter().any(|place| {
                let is = |name, value: u64| field(name).is_none_or(|other| *other == json!(value));
                field("batch_id").is_some_and(|id| *id == json!(place.batch.batch_id))
                    && place.batch.batch_id == term
                    && is("part", place.part.into())
                    && is("n", place.n)
            }),
        }
    }
}

impl Entry {
    pub fn new(line: LogLine) -> Self {
        let fields = serde_json::from_str(&line.text).ok();
        Self { line, fields }
    }

    /// Returns the level, or `None` if the function did not write the line.
    pub fn level(&self) -> Option<Level> {
        let level = self.fields.as_ref()?.get("level")?.as_str()?;
        Level::from_str(level, true).ok()
    }

    /// Returns the line for a terminal: its time, level, function, message and other fields.
    pub fn line(&self, function: &str) -> Line {
        let at = format_description!(
            "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let at = self.line.at.format(at).unwrap_or_default();
        let (level, ink) = match self.level() {
            Some(Level::Error) => ("ERROR", Ink::Red),
            Some(Level::Warn) => ("WARN", Ink::Yellow),
            Some(Level::Info) => ("INFO", Ink::Plain),
            None => ("", Ink::Plain),
        };
        let message = match self.fields.as_ref().map(|fields| &fields["message"]) {
            Some(Value::String(message)) => message.as_str(),
            _ => self.line.text.trim_end(),
        };
        vec![
            span(Ink::Dim, at),
            span(ink, format!("  {level:<5}  ")),
            span(Ink::Plain, format!("{function:<16}  {message}")),
            span(Ink::Dim, self.others()),
        ]
    }

    /// Returns the fields that no column shows.
    fn others(&self) -> String {
        const SHOWN: [&str; 4] = ["timestamp", "level", "message", "run_id"];
        let fields = self.fields.iter().flatten();
        let fields = fields.filter(|(name, _)| !SHOWN.contains(&name.as_str()));
        // Sorted, because the order of a line depends on the program that wrote it.
        let fields: BTreeMap<_, _> = fields.collect();
        let fields = fields.into_iter();
        let text = |(name, value): (&String, &Value)| match value {
            Value::String(text) => format!("  {name}={text}"),
            other => format!("  {name}={other}"),
        };
        fields.map(text).collect()
    }

    /// Returns the line as JSON. `line` is what the function wrote.
    pub fn json(&self, function: &str) -> Value {
        let at = self.line.at.format(&Rfc3339).unwrap_or_default();
        let line = match &self.fields {
            Some(fields) => json!(fields),
            None => json!(self.line.text.trim_end()),
        };
        json!({ "at": at, "function": function, "line": line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::render;
    use bcce_core::batch::BatchRef;
    use time::OffsetDateTime;

    const RUN: &str = "explain-f7ba4ad77505bd08f0457f0dca60c468";

    fn entry(fields: Value) -> Entry {
        let text = fields.as_str().map_or_else(|| fields.to_string(), str::to_owned);
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1_500);
        Entry::new(LogLine { at, text })
    }

    #[test]
    fn a_line_is_of_the_run_that_its_field_names() {
        let subject = Subject { run_id: RUN, places: vec![] };
        let has = |fields: Value| subject.has(&entry(fields), RUN);
        assert!(has(json!({ "run_id": RUN, "message": "m" })));
        assert!(has(json!({ "execution": format!("{RUN}-r2") })));
        assert!(has(json!(format!("thread panicked: {RUN}"))));
        assert!(!has(json!({ "run_id": "other", "message": format!("as {RUN}") })));
        assert!(!has(json!({ "_aws": {}, "run_id": RUN })), "metrics are no log");
        assert_eq!(subject.terms(), [RUN]);
    }

    #[test]
    fn a_packed_run_has_the_lines_of_its_part_and_each_line_once() {
        let batch = BatchRef::first("default", "explain", "b");
        let place = PackedPlace { run_id: RUN.into(), attempt_no: 1, batch, part: 3, n: 7 };
        let id = place.batch.batch_id.clone();
        let subject = Subject { run_id: RUN, places: vec![&place, &place] };
        assert_eq!(subject.terms(), [id.as_str(), RUN]);
        let has = |fields: Value, term: &str| subject.has(&entry(fields), term);
        assert!(has(json!({ "batch_id": id }), &id));
        assert!(has(json!({ "batch_id": id, "part": 3 }), &id));
        assert!(has(json!({ "batch_id": id, "n": 7 }), &id));
        assert!(!has(json!({ "batch_id": id, "part": 4 }), &id));
        assert!(!has(json!({ "batch_id": id, "n": 8 }), &id));
        assert!(!has(json!({ "batch_id": id, "run_id": "other" }), &id));
        let both = json!({ "batch_id": id, "run_id": RUN });
        assert!(has(both.clone(), RUN) && !has(both, &id), "a line is printed once");
    }

    #[test]
    fn a_line_shows_its_time_level_function_and_fields() {
        let failed = json!({
            "timestamp": "t", "level": "WARN", "run_id": RUN, "step_id": "answer", "calls": 2,
            "message": "the step\u{1b}[2J failed",
        });
        let entry = entry(failed.clone());
        let expected = "1970-01-01 00:00:01.500Z  WARN   invoke            the step [2J failed  calls=2  step_id=answer";
        assert_eq!(render(&entry.line("invoke"), false, usize::MAX), expected);
        let json = json!({ "at": "1970-01-01T00:00:01.5Z", "function": "invoke", "line": failed });
        assert_eq!(entry.json("invoke"), json);
        assert!(entry.level() <= Some(Level::Warn) && entry.level() > Some(Level::Error));
    }

    #[test]
    fn a_line_of_lambda_is_shown_as_it_is() {
        let entry = entry(json!("RequestId: 1 Error\n"));
        let line = render(&entry.line("invoke"), false, usize::MAX);
        assert!(line.ends_with("         invoke            RequestId: 1 Error"), "{line}");
        assert_eq!(
            (entry.level(), &entry.json("invoke")["line"]),
            (None, &json!("RequestId: 1 Error"))
        );
    }
}
