//! Evaluates a small part of IAM: which of a template's roles may do something, by the policies that the template
//! writes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::every_template;

/// A question to the policies: an action, a resource, and the context of the call.
pub struct Ask<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    /// The condition keys of the call. Each one may have several values, as `dynamodb:LeadingKeys` has.
    pub context: &'a [(&'a str, &'a [&'a str])],
}

struct Statement {
    is_allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<(String, String, Vec<String>)>,
}

/// The statements of each role, by its logical name.
pub struct Roles(BTreeMap<String, Vec<Statement>>);

impl Roles {
    /// Reads the roles of all templates. `parameters` has the values for `${X}`, `X` and `X.Arn`.
    pub fn read(parameters: &[(&str, &str)]) -> Self {
        let templates = every_template();
        let resources = templates.iter().flat_map(|it| it["Resources"].as_object().unwrap());
        let roles = resources.filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role");
        let roles = roles.map(|(name, role)| {
            let policies = list(&role["Properties"]["Policies"]);
            let policies = policies.iter().map(|policy| &policy["PolicyDocument"]);
            (name.clone(), policies.flat_map(|it| statements(it, parameters)).collect())
        });
        let mut by_name = BTreeMap::new();
        for (name, statements) in roles {
            let before = by_name.insert(name.clone(), statements);
            assert!(
                before.is_none(),
                "two templates have a {name}, of which one would not be seen"
            );
        }
        Self(by_name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns true if the role is allowed to do what is asked.
    pub fn may(&self, role: &str, ask: &Ask<'_>) -> bool {
        decide(&self.0[role], ask) == Some(true)
    }

    /// Returns the actions of all roles.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().flat_map(|it| it.actions.iter().map(String::as_str))
    }
}

/// Returns true if a resource's policy denies what is asked, whatever the policy of a role allows.
pub fn denies(policy: &Value, parameters: &[(&str, &str)], ask: &Ask<'_>) -> bool {
    decide(&statements(policy, parameters), ask) == Some(false)
}

/// Returns true if the statements allow what is asked, and false if one denies it. A Deny overrides every Allow.
/// Returns `None` if no statement applies.
fn decide(statements: &[Statement], ask: &Ask<'_>) -> Option<bool> {
    let speaks = |statement: &&Statement| {
        statement
            .actions
            .iter()
            .any(|pattern| is_like(&ask.action.to_lowercase(), &pattern.to_lowercase()))
            && statement.resources.iter().any(|pattern| is_like(ask.resource, pattern))
            && statement.conditions.iter().all(|condition| holds(condition, ask))
    };
    let speaking: Vec<bool> = statements.iter().filter(speaks).map(|it| it.is_allow).collect();
    (!speaking.is_empty()).then(|| speaking.iter().all(|is_allow| *is_allow))
}

/// Returns true if a condition is fulfilled. Panics for an operator that it does not implement.
fn holds((operator, key, expected): &(String, String, Vec<String>), ask: &Ask<'_>) -> bool {
    let found = ask.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let found = found.map(|(_, values)| *values);
    let fits = |value: &&str, is_pattern: bool| {
        expected.iter().any(|it| if is_pattern { is_like(value, it) } else { it == value })
    };
    match operator.as_str() {
        // `ForAllValues` is also true if the key is missing. In the calls that are checked here, S3 and DynamoDB always
        // send it.
        "ForAllValues:StringLike" => found.unwrap_or_default().iter().all(|it| fits(it, true)),
        "ForAllValues:StringEquals" => found.unwrap_or_default().iter().all(|it| fits(it, false)),
        "StringLikeIfExists" => found.is_none_or(|values| values.iter().all(|it| fits(it, true))),
        "StringLike" => found.is_some_and(|values| values.iter().any(|it| fits(it, true))),
        "StringEquals" | "Bool" => {
            found.is_some_and(|values| values.iter().any(|it| fits(it, false)))
        }
        "Null" => (found.is_none()) == (expected == &["true"]),
        other => panic!("the condition {other} of {key} is not implemented here"),
    }
}

/// Returns true if `text` matches the pattern. `*` stands for any number of characters, including `/`, and `?` for one.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut next, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(next) {
            Some(b'*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(c) if *c == b'?' || *c == text[at] => (at, next) = (at + 1, next + 1),
            _ => match star {
                Some((back, taken)) => {
                    star = Some((back, taken + 1));
                    (at, next) = (taken + 1, back + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|c| *c == b'*')
}

/// Returns the statements about S3 and DynamoDB. Those of other services may have conditions that are not implemented
/// here.
fn statements(policy: &Value, parameters: &[(&str, &str)]) -> Vec<Statement> {
    let written = list(&policy["Statement"]).into_iter().flat_map(list);
    // A statement with a condition (`!If`) is in a list with the condition's name.
    let written = written.filter(|it| it.is_object());
    let known = written.filter(|it| {
        let mut actions = list(&it["Action"]).into_iter().filter_map(Value::as_str);
        actions.any(is_of_data)
    });
    known.map(|it| statement(it, parameters)).collect()
}

/// Returns true if an action is one of a service that the tables cover. IAM ignores the case of actions.
pub fn is_of_data(action: &str) -> bool {
    let action = action.to_lowercase();
    ["s3:", "dynamodb:", "*"].iter().any(|begins| action.starts_with(begins))
}

fn statement(written: &Value, parameters: &[(&str, &str)]) -> Statement {
    let sid = &written["Sid"];
    for opposite in ["NotAction", "NotResource"] {
        assert!(
            written[opposite].is_null(),
            "{sid}: {opposite} is not allowed, because it is hard to review"
        );
    }
    let strings = |value: &Value| -> Vec<String> {
        let texts = list(value).into_iter().filter_map(|it| match it {
            Value::Bool(is) => Some(is.to_string()),
            other => other.as_str().map(str::to_owned),
        });
        texts.flat_map(|text| resolved(&text, parameters)).collect()
    };
    let operators = written["Condition"].as_object().into_iter().flatten();
    let conditions = operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().unwrap().iter();
        keys.map(|(key, expected)| (operator.clone(), key.clone(), strings(expected)))
            .collect::<Vec<_>>()
    });
    Statement {
        is_allow: written["Effect"] == "Allow",
        actions: strings(&written["Action"]),
        resources: strings(&written["Resource"]),
        conditions: conditions.collect(),
    }
}

/// Replaces the parameters in a text. Returns several texts for a parameter that is a list, whose values are separated
/// by commas.
fn resolved(text: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    for (name, value) in parameters {
        if text == *name {
            return value.split(',').map(str::to_owned).collect();
        }
    }
    let filled = parameters
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    assert!(!filled.contains("${"), "{filled} has a parameter without a value");
    vec![filled]
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}

/// `*` matches across `/`, and `?` matches exactly one character.
#[test]
fn a_star_spans_folders_and_a_question_mark_is_one_character() {
    for (text, pattern, expected) in [
        ("runs/t/r/steps/plan.json", "runs/*/plan.json", true),
        ("runs/t/r/steps/plan.answer.json", "runs/*/plan.json", false),
        ("runs/t/r/manifest-12.json", "runs/*/manifest-?.json", false),
        ("runs/t/r/manifest-12.json", "runs/*/manifest-??.json", true),
        ("abab", "*ab", true),
        ("", "*", true),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
    }
}
