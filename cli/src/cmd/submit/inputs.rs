//! Inputs as they are given: `NAME=VALUE`, `NAME=@file`, `NAME=@-`, `NAME:=<json>`, and whole objects.
//! What is wrong is told by field; values are never quoted.

use bcce_core::error::Problems;
use serde_json::{Map, Value};

/// Reads a file, or standard input for `-`.
pub type Read<'a> = dyn Fn(&str) -> std::io::Result<String> + 'a;

/// # Errors
/// Every input that cannot be taken.
pub fn collect(
    object: Option<&str>,
    pairs: &[String],
    read: &Read,
) -> Result<Map<String, Value>, Problems> {
    let mut problems = Problems::default();
    let from_input =
        pairs.iter().filter(|pair| pair.ends_with("@-")).count() + usize::from(object == Some("-"));
    problems.check(from_input <= 1, "inputs", "standard input can be read once only");
    problems = problems.none_or(Problems::default())?;
    let mut inputs =
        object.map_or_else(|| Ok(Map::new()), |path| whole(path, read)).unwrap_or_else(|cause| {
            problems.add("inputs", cause);
            Map::new()
        });
    let mut seen = std::collections::BTreeSet::new();
    for pair in pairs {
        match one(pair, read) {
            Ok((name, value)) => {
                problems.check(seen.insert(name), format!("inputs.{name}"), "is given twice");
                inputs.insert(name.to_owned(), value);
            }
            Err((field, cause)) => problems.add(field, cause),
        }
    }
    problems.none_or(inputs)
}

fn whole(path: &str, read: &Read) -> Result<Map<String, Value>, String> {
    let place = if path == "-" { "standard input" } else { path };
    let text = read(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    match json(&text).map_err(|cause| format!("{place} {cause}"))? {
        Value::Object(object) => Ok(object),
        _ => Err(format!("{place} must be a JSON object, of inputs by name")),
    }
}

/// A name and its value, or the field and what is wrong with it.
fn one<'a>(pair: &'a str, read: &Read) -> Result<(&'a str, Value), (String, String)> {
    let usage = "must be NAME=VALUE, NAME=@file or NAME:=<json>";
    let (name, value) =
        pair.split_once('=').ok_or_else(|| ("inputs".to_owned(), usage.to_owned()))?;
    let (name, as_json) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
    let told = |cause: String| (format!("inputs.{name}"), cause);
    if name.is_empty() {
        return Err(("inputs".into(), usage.into()));
    }
    let text = match value.strip_prefix('@') {
        // What stands there may be a text that happens to begin with @, so it is not quoted either.
        Some(path) => read(path).map_err(|error| {
            told(format!("what @ names cannot be read: {error}; a text that begins with @ goes in as JSON, {name}:=\"@...\""))
        })?,
        None => value.to_owned(),
    };
    let value = if as_json { json(&text).map_err(told)? } else { Value::String(text) };
    Ok((name, value))
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("is not JSON: line {}, column {}", error.line(), error.column()))
}

/// `K=V`
pub fn tag(given: &str) -> Result<(String, String), String> {
    let (key, value) = given.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(path: &str) -> std::io::Result<String> {
        match path {
            "a.diff" => Ok("+x=1\n".into()),
            "in.json" => Ok(r#"{"diff":"from the file","deep":true}"#.into()),
            "list.json" => Ok("[1]".into()),
            "-" => Ok("piped".into()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn collected(object: Option<&str>, pairs: &[&str]) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        collect(object, &pairs, &read).map(Value::Object).map_err(|problems| problems.to_string())
    }

    #[test]
    fn each_form_gives_its_value() {
        #[rustfmt::skip]
        let table = [
            ("a=b=c", json!({ "a": "b=c" })),
            ("a=", json!({ "a": "" })),
            ("a=42", json!({ "a": "42" })),
            ("a:=42", json!({ "a": 42 })),
            ("a:=[\"x\"]", json!({ "a": ["x"] })),
            ("a=@a.diff", json!({ "a": "+x=1\n" })),
            ("a=@-", json!({ "a": "piped" })),
            ("a:=@list.json", json!({ "a": [1] })),
        ];
        for (given, expected) in table {
            assert_eq!(collected(None, &[given]), Ok(expected), "{given}");
        }
    }

    #[test]
    fn a_pair_takes_the_place_of_the_objects_value() {
        let inputs = collected(Some("in.json"), &["diff=mine"]).unwrap();
        assert_eq!(inputs, json!({ "diff": "mine", "deep": true }));
    }

    #[test]
    fn every_fault_is_told_by_field_and_no_value_is_quoted() {
        let told =
            collected(Some("list.json"), &["hunter2", "b:=hunter2", "c=@hunter2", "d=1", "d=2"])
                .unwrap_err();
        for part in [
            "inputs: list.json must be a JSON object",
            "inputs: must be NAME=VALUE",
            "inputs.b: is not JSON: line 1, column 1",
            "inputs.c: what @ names cannot be read",
            "inputs.d: is given twice",
        ] {
            assert!(told.contains(part), "{part} is missing in {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn standard_input_is_read_once() {
        assert!(collected(Some("-"), &["a=@-"]).unwrap_err().contains("once only"));
    }
}
