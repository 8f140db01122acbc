//! Reports one error of deserialization by its field, and repairs the tree so that the next error can be found.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

/// A reported error and the result of its repair.
pub struct Repaired {
    pub field: String,
    pub cause: String,
    /// The fields whose value is now a stand-in. Further problems of these fields must not be reported. `None` if the
    /// tree could not be repaired.
    pub stand_ins: Option<Vec<String>>,
}

type Fault = serde_path_to_error::Error<serde_json::Error>;

/// Reports `fault` and repairs `tree`: removes an unknown field, or replaces a wrong value by a stand-in. `name` is the
/// field of a fault at the root.
pub fn repair<T: DeserializeOwned>(name: &str, tree: &mut Value, fault: &Fault) -> Repaired {
    let message = fault.inner().to_string();
    let mut steps = steps(fault.path());
    if let Some(missing) = message.strip_prefix("missing field ").map(quoted) {
        steps.push(Step::Key(missing.to_owned()));
    }
    let field = match named(tree, &steps) {
        field if field.is_empty() => name.to_owned(),
        field => field,
    };
    let cause = cause(&message, &steps);
    if message.starts_with("unknown field") {
        let stand_ins = remove(tree, &steps).then(Vec::new);
        return Repaired { field, cause, stand_ins };
    }
    let repaired = stand_in::<T>(tree, &steps, &message);
    let stand_ins = repaired.then(|| vec![named(tree, &steps), unnamed_item(tree, &steps)]);
    Repaired { field, cause, stand_ins }
}

/// One segment of a path in the tree.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// Returns a path as a field name, such as `steps.review.max_tokens`. The name of a list item is its `id`, if it has
/// one, as in all other messages.
fn named(tree: &Value, steps: &[Step]) -> String {
    let mut name = String::new();
    let mut here = Some(tree);
    for step in steps {
        here = here.and_then(|value| at(value, step));
        let id = here.and_then(|value| value.get("id")).and_then(Value::as_str);
        let id = id.filter(|id| !id.is_empty());
        name = match (step, id) {
            (Step::Key(key), _) => below(&name, key),
            (Step::Item(_), Some(id)) => below(&name, id),
            (Step::Item(n), None) => format!("{name}[{n}]"),
        };
    }
    name
}

/// Returns the field under which the checks of a document report an item without an id. They use only ids.
fn unnamed_item(tree: &Value, steps: &[Step]) -> String {
    match steps {
        [list @ .., Step::Item(_), Step::Key(key)] if key == "id" => below(&named(tree, list), ""),
        _ => named(tree, steps),
    }
}

/// Returns the field `key` below `path`.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn at<'a>(value: &'a Value, step: &Step) -> Option<&'a Value> {
    match step {
        Step::Key(key) => value.get(key),
        Step::Item(n) => value.get(*n),
    }
}

fn at_mut<'a>(tree: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(tree, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Item(n) => value.get_mut(*n),
    })
}

fn remove(tree: &mut Value, steps: &[Step]) -> bool {
    let Some((Step::Key(key), container)) = steps.split_last() else { return false };
    let object = at_mut(tree, container).and_then(Value::as_object_mut);
    object.is_some_and(|object| object.remove(key).is_some())
}

/// Replaces the value at `steps` by the first stand-in that has the right type, whatever it means. An empty object also
/// fits if the next error is a missing field of it. Returns `false` if no stand-in fits.
fn stand_in<T: DeserializeOwned>(tree: &mut Value, steps: &[Step], message: &str) -> bool {
    if let Some((Step::Key(key), container)) = steps.split_last()
        && let Some(object) = at_mut(tree, container).and_then(Value::as_object_mut)
    {
        object.entry(key.clone()).or_insert(Value::Null);
    }
    let any = [json!(""), json!(1), json!([]), json!({}), json!(false), json!("1970-01-01")];
    let mut candidates: VecDeque<Value> = any.into();
    candidates.extend(alternatives(message).into_iter().map(Value::String));
    while let Some(value) = candidates.pop_front() {
        let Some(place) = at_mut(tree, steps) else { return false };
        let is_object = value.is_object();
        let is_first = value == "";
        *place = value;
        let Err(fault) = serde_path_to_error::deserialize::<_, T>(&*tree) else { return true };
        let message = fault.inner().to_string();
        let lacks_a_field = is_object && message.starts_with("missing field");
        if lacks_a_field || !self::steps(fault.path()).starts_with(steps) {
            return true;
        }
        if is_first {
            candidates.extend(alternatives(&message).into_iter().map(Value::String));
        }
    }
    false
}

/// Translates a message of serde. The result names the expected value and never quotes the value that was found.
fn cause(message: &str, steps: &[Step]) -> String {
    let last = match steps.last() {
        Some(Step::Key(key)) => key.as_str(),
        _ => "",
    };
    if message.starts_with("missing field") {
        return "is missing".to_owned();
    }
    if message.starts_with("unknown field") {
        let known = alternatives(message);
        let meant = closest(last, &known).map(|name| format!("; did you mean {name}?"));
        return match known.as_slice() {
            [] => "is unknown here".to_owned(),
            _ => {
                format!("is unknown; there are: {}{}", known.join(", "), meant.unwrap_or_default())
            }
        };
    }
    if message.starts_with("unknown variant") {
        return format!("must be one of: {}", alternatives(message).join(", "));
    }
    // The search starts from the right, because serde quotes the found value before this word.
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {}", plain(expected)),
        // The message of a type of this project already names the expected value.
        None => message.to_owned(),
    }
}

/// Translates serde's name of an expected type.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "a `Date`" => "a date, YYYY-MM-DD",
        _ if expected.starts_with("struct ") => "an object",
        _ if expected.contains("Decimal") => "a decimal number in quotes",
        other => other,
    }
}

/// Returns the names after `expected` in a message such as "unknown field `a`, expected one of `b`, `c`".
fn alternatives(message: &str) -> Vec<String> {
    let (_, expected) = message.rsplit_once("expected ").unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn quoted(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_default()
}

/// Returns the known name that differs from `name` by a typing error at most.
pub fn closest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |known: &String| strsim::damerau_levenshtein(name, known);
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    (distance(nearest) <= 2.max(name.chars().count() / 4)).then_some(nearest)
}
