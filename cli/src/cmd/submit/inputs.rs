//! Collects the inputs from the command line: `NAME=VALUE`, `NAME=@file`, `NAME=@-`, `NAME:=<json>`, lists of files,
//! and JSON objects. Problems name the field and never quote a value.

use bcce_core::base::error::Problems;
use serde_json::{Map, Value};

use super::files::{Lists, Named, ReadText, list};

/// Reads a file, or standard input for `-`.
pub type Read<'a> = dyn Fn(&str) -> std::io::Result<String> + 'a;

/// Collects the inputs. `object` is the path of a JSON object, whose inputs the `pairs` and `lists` override.
///
/// # Errors
/// The problems of all inputs that cannot be used.
pub fn collect(
    object: Option<&str>,
    pairs: &[String],
    lists: &Lists,
    read: &Read,
    read_text: &ReadText,
) -> Result<Map<String, Value>, Problems> {
    let mut problems = Problems::default();
    let from_input =
        pairs.iter().filter(|pair| pair.ends_with("@-")).count() + usize::from(object == Some("-"));
    problems.check(from_input <= 1, "inputs", "standard input can be read only once");
    problems = problems.none_or(Problems::default())?;
    let mut inputs =
        object.map_or_else(|| Ok(Map::new()), |path| whole(path, read)).unwrap_or_else(|cause| {
            problems.add("inputs", cause);
            Map::new()
        });
    let mut seen = std::collections::BTreeSet::new();
    let pairs = pairs.iter().map(|pair| one(pair, read));
    for given in pairs.chain(lists.0.iter().map(|given| list(given, read_text))) {
        let taken = given.and_then(|(name, value)| {
            let field = format!("inputs.{name}");
            problems.check(seen.insert(name.clone()), field, "is given twice");
            inputs.insert(name, value?);
            Ok(())
        });
        if let Err(faults) = taken {
            problems.extend(faults);
        }
    }
    problems.none_or(inputs)
}

fn whole(path: &str, read: &Read) -> Result<Map<String, Value>, String> {
    let place = if path == "-" { "standard input" } else { path };
    let text = read(path).map_err(|error| format!("{place} cannot be read: {error}"))?;
    match json(&text).map_err(|cause| format!("{place} {cause}"))? {
        Value::Object(object) => Ok(object),
        _ => Err(format!("{place} must be a JSON object of inputs by name")),
    }
}

fn one(pair: &str, read: &Read) -> Named {
    let usage = "must be NAME=VALUE, NAME=@file or NAME:=<json>";
    let (name, value) = pair.split_once('=').ok_or_else(|| Problems::one("inputs", usage))?;
    let (name, as_json) = name.strip_suffix(':').map_or((name, false), |name| (name, true));
    if name.is_empty() {
        return Err(Problems::one("inputs", usage));
    }
    let value = value_of(name, value, as_json, read);
    Ok((name.to_owned(), value.map_err(|cause| Problems::one(format!("inputs.{name}"), cause))))
}

fn value_of(name: &str, value: &str, as_json: bool, read: &Read) -> Result<Value, String> {
    let text = match value.strip_prefix('@') {
        // The value may be text that begins with @ and not a path, so it is not quoted.
        Some(path) => read(path).map_err(|error| {
            format!("the file after @ cannot be read: {error}; write text that begins with @ as JSON, {name}:=\"@...\"")
        })?,
        None => value.to_owned(),
    };
    if as_json { json(&text) } else { Ok(Value::String(text)) }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("is not JSON: line {}, column {}", error.line(), error.column()))
}

/// Parses a tag: `KEY=VALUE`.
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
        with_files(object, pairs, &[])
    }

    fn with_files(
        object: Option<&str>,
        pairs: &[&str],
        lists: &[&[&str]],
    ) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(ToString::to_string).collect();
        let lists = lists.iter().map(|list| list.iter().map(Into::into).collect());
        let text = |_: &std::path::Path| Ok("text".to_owned());
        collect(object, &pairs, &Lists(lists.collect()), &read, &text)
            .map(Value::Object)
            .map_err(|problems| problems.to_string())
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
    fn every_fault_is_reported_by_field_and_no_value_is_quoted() {
        let message = collected(
            Some("list.json"),
            &["hunter2", "b:=hunter2", "b=", "c=@hunter2", "d=1", "d=2"],
        )
        .unwrap_err();
        for part in [
            "inputs: list.json must be a JSON object",
            "inputs: must be NAME=VALUE",
            "inputs.b: is not JSON: line 1, column 1",
            "inputs.b: is given twice",
            "inputs.c: the file after @ cannot be read",
            "inputs.d: is given twice",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_list_of_files_is_an_input_like_any_other() {
        let inputs = with_files(Some("in.json"), &["a=1"], &[&["diff", "x"], &["docs", "y"]]);
        let list = |path: &str| json!([{ "path": path, "text": "text" }]);
        let expected = json!({ "a": "1", "deep": true, "diff": list("x"), "docs": list("y") });
        assert_eq!(inputs, Ok(expected));
        let twice = with_files(None, &["a=1"], &[&["a", "x"], &["b", "y"], &["b", "z"]]);
        assert_eq!(twice, Err("inputs.a: is given twice; inputs.b: is given twice".into()));
    }

    #[test]
    fn standard_input_is_read_once() {
        assert!(collected(Some("-"), &["a=@-"]).unwrap_err().contains("only once"));
    }
}
