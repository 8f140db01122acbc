//! One fault of shape: message by its field, and put right so that the next one can be looked for.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

/// A fault, and what was done about it.
pub struct Repaired {
    pub field: String,
    pub cause: String,
    /// Fields whose value is a stand-in now, so that nothing more can be said of them; `None`: nothing
    /// helped.
    pub stand_ins: Option<Vec<String>>,
}

type Fault = serde_path_to_error::Error<serde_json::Error>;

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

/// `steps.review.max_tokens`: an item of a list that has an id goes by it, as in every other message.
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

/// Where an item without an id is looked for by checks that know ids only.
fn unnamed_item(tree: &Value, steps: &[Step]) -> String {
    match steps {
        [list @ .., Step::Item(_), Step::Key(key)] if key == "id" => below(&named(tree, list), ""),
        _ => named(tree, steps),
    }
}

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

/// Puts the first value there that fits, be it without any sense. An empty object fits where the next
/// fault is a field that it lacks.
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

/// serde's words in ours: what would be right, and never the value that was found.
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
    // From the right: the value that was found is quoted before it.
    match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {}", plain(expected)),
        // A message of a type of ours, which names what it wants.
        None => message.to_owned(),
    }
}

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

/// The names behind `expected` of "unknown field `a`, expected one of `b`, `c`".
fn alternatives(message: &str) -> Vec<String> {
    let (_, expected) = message.rsplit_once("expected ").unwrap_or_default();
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn quoted(text: &str) -> &str {
    text.split('`').nth(1).unwrap_or_default()
}

/// The known name that is a slip of the finger away.
fn closest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |known: &String| strsim::damerau_levenshtein(name, known);
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    (distance(nearest) <= 2.max(name.chars().count() / 4)).then_some(nearest)
}
