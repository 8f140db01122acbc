//! Evaluates conditions and values over an event or over an item of a batch. The language is that of prompt templates,
//! with the same limits. This module adds no delimiters around data: the results are values of a request, and a prompt
//! delimits them later.

use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::base::error::Problems;
use crate::document::prompt;

/// The values that an expression can read.
pub struct Context {
    /// The name of the source in messages.
    of: &'static str,
    values: minijinja::Value,
}

impl Context {
    /// Creates the context of a webhook event. Expressions read its name as `event` and its payload as `body`.
    pub fn of_event(event: &str, payload: &Value) -> Self {
        // The callers pass the payload by reference, because it can be a megabyte long.
        let body = minijinja::Value::from(Serde(payload));
        Self { of: "the event", values: minijinja::context! { event, body } }
    }

    /// Creates the context of a batch item. Expressions read it as `item`.
    pub fn of_item(item: &Value) -> Self {
        let item = minijinja::Value::from(Serde(item));
        Self { of: "the item", values: minijinja::context! { item } }
    }

    /// Evaluates a condition. A missing value counts as false.
    ///
    /// # Errors
    /// Returns a message if the condition is invalid or cannot be evaluated. The message never quotes a value.
    pub fn holds(&self, condition: &str) -> Result<bool, String> {
        let environment = environment(UndefinedBehavior::Chainable);
        let expression = environment.compile_expression(condition);
        let expression = expression.map_err(|error| prompt::cause(&error))?;
        let value = expression.eval(&self.values).map_err(|error| prompt::cause(&error))?;
        Ok(value.is_true())
    }

    /// Renders a text and fills in each `{{ }}`.
    ///
    /// # Errors
    /// Returns a message if the text is invalid, cannot be rendered, or reads a missing value. The message names the
    /// first missing value. It never quotes a value.
    pub fn text(&self, template: &str) -> Result<String, String> {
        prompt::syntax::check(template)?;
        let environment = environment(UndefinedBehavior::Strict);
        let compiled = environment.template_from_str(template);
        let text = compiled.and_then(|compiled| prompt::limited::bounded(&compiled, &self.values));
        text.map_err(|error| self.describe(&environment, template, &error))
    }

    /// Returns a copy of `template` in which every text is filled in. A text that cannot be filled in becomes `null`
    /// and a problem below `field`.
    pub fn value(&self, template: &Value, field: &str, problems: &mut Problems) -> Value {
        match template {
            Value::String(text) => self.filled(text).unwrap_or_else(|cause| {
                problems.add(field, cause);
                Value::Null
            }),
            Value::Array(items) => {
                let value = |(n, item)| self.value(item, &format!("{field}[{n}]"), problems);
                items.iter().enumerate().map(value).collect()
            }
            Value::Object(fields) => {
                let value = |(name, item): (&String, &Value)| {
                    (name.clone(), self.value(item, &format!("{field}.{name}"), problems))
                };
                fields.iter().map(value).collect::<Map<_, _>>().into()
            }
            plain => plain.clone(),
        }
    }

    /// Fills in one text. A text that is one `{{ }}` and nothing else keeps the type of its value: `{{ body.labels }}`
    /// stays a list.
    fn filled(&self, text: &str) -> Result<Value, String> {
        let Some(only) = only_expression(text) else { return self.text(text).map(Value::from) };
        prompt::syntax::check(text)?;
        let environment = environment(UndefinedBehavior::Strict);
        let evaluated = environment.compile_expression(only).and_then(|e| e.eval(&self.values));
        let value = evaluated.map_err(|error| self.describe(&environment, text, &error))?;
        if value.is_undefined() {
            Err(self.describe(&environment, text, &ErrorKind::UndefinedError.into()))
        } else {
            serde_json::to_value(&value).map_err(|_| "cannot be a value of JSON".into())
        }
    }

    fn describe(&self, environment: &Environment<'_>, template: &str, error: &Error) -> String {
        let is_missing = error.kind() == ErrorKind::UndefinedError;
        let missing = is_missing.then(|| self.missing(environment, template)).flatten();
        missing.unwrap_or_else(|| prompt::cause(error))
    }

    /// Returns a message that names the first missing value that the template reads.
    fn missing(&self, environment: &Environment<'_>, template: &str) -> Option<String> {
        let template = environment.template_from_str(template).ok()?;
        let mut read: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        read.sort();
        let missing = read.into_iter().find(|path| self.at(path).is_none())?;
        Some(format!("reads {missing}, which {} does not have", self.of))
    }

    fn at(&self, path: &str) -> Option<minijinja::Value> {
        path.split('.').try_fold(self.values.clone(), |value, name| {
            value.get_attr(name).ok().filter(|found| !found.is_undefined())
        })
    }
}

/// Checks a condition that may read `names`.
///
/// # Errors
/// Returns a message if the condition is invalid or reads something other than `names`.
pub fn check_condition(condition: &str, names: &[&str]) -> Result<(), String> {
    check_text(&format!("{{{{ {condition} }}}}"), names)?;
    let environment = environment(UndefinedBehavior::Chainable);
    environment.compile_expression(condition).map(drop).map_err(|error| prompt::cause(&error))
}

/// Checks a text with `{{ }}` that may read `names`.
///
/// # Errors
/// Returns a message if the text is invalid or reads something other than `names`.
pub fn check_text(template: &str, names: &[&str]) -> Result<(), String> {
    prompt::syntax::check(template)?;
    let read = prompt::variables(template)?;
    let is_there = |path: &String| names.contains(&path.split('.').next().unwrap_or(""));
    match (read.iter().find(|path| !is_there(path)), names) {
        (Some(path), [only]) => Err(format!("reads {path}; it can read only {only}")),
        (Some(path), _) => Err(format!("reads {path}; it can read only {}", names.join(" and "))),
        (None, _) => Ok(()),
    }
}

/// Checks every text in a value as [`check_text`] does, and adds the problems below `field`.
pub fn check_value(template: &Value, names: &[&str], field: &str, problems: &mut Problems) {
    match template {
        Value::String(text) => {
            check_text(text, names).unwrap_or_else(|cause| problems.add(field, cause));
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, item)| check_value(item, names, &format!("{field}[{n}]"), problems)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| {
            check_value(item, names, &format!("{field}.{name}"), problems)
        }),
        _ => {}
    }
}

/// Returns the expression of a text that is one `{{ }}` and nothing else, or `None` for any other text.
fn only_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner);
    prompt::syntax::is_one_expression(text.trim()).then_some(inner)
}

fn environment(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = prompt::plain_environment(undefined);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(written);
    environment
}

/// Writes a text, a number or a boolean as it is, nothing for `null`, and any other value as JSON.
fn written(out: &mut Output, _: &mut State, value: &minijinja::Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        ValueKind::None => Ok(()),
        ValueKind::String | ValueKind::Bool | ValueKind::Number => Ok(write!(out, "{value}")?),
        _ => Ok(write!(out, "{}", prompt::json(value, false)?)?),
    }
}
