//! A small part of IAM: which of a template's roles may do something, by the policies that the template writes.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::every_template;

/// What is asked for: an action, what it is done to, and what else the service says of it.
pub struct Ask<'a> {
    pub action: &'a str,
    pub resource: &'a str,
    /// Several values each, as `dynamodb:LeadingKeys` has.
    pub context: &'a [(&'a str, &'a [&'a str])],
}

struct Statement {
    is_allow: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<(String, String, Vec<String>)>,
}

/// The statements of every role, by its name in the template.
pub struct Roles(BTreeMap<String, Vec<Statement>>);

impl Roles {
    /// Reads every template. `parameters`: what stands for `${X}`, `X` and `X.Arn`.
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

    pub fn may(&self, role: &str, ask: &Ask<'_>) -> bool {
        decide(&self.0[role], ask) == Some(true)
    }

    /// Every action that some role has.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().flat_map(|it| it.actions.iter().map(String::as_str))
    }
}

/// Returns whether a policy refuses it, as a bucket's may whatever a role's says.
pub fn denies(policy: &Value, parameters: &[(&str, &str)], ask: &Ask<'_>) -> bool {
    decide(&statements(policy, parameters), ask) == Some(false)
}

/// Returns `None` if no statement applies. A Deny overrides every Allow.
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

fn holds((operator, key, expected): &(String, String, Vec<String>), ask: &Ask<'_>) -> bool {
    let found = ask.context.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let found = found.map(|(_, values)| *values);
    let fits = |value: &&str, is_pattern: bool| {
        expected.iter().any(|it| if is_pattern { is_like(value, it) } else { it == value })
    };
    match operator.as_str() {
        // True of what is not there: S3 and DynamoDB name the keys that are asked for here.
        "ForAllValues:StringLike" => found.unwrap_or_default().iter().all(|it| fits(it, true)),
        "ForAllValues:StringEquals" => found.unwrap_or_default().iter().all(|it| fits(it, false)),
        "StringLikeIfExists" => found.is_none_or(|values| values.iter().all(|it| fits(it, true))),
        "StringLike" => found.is_some_and(|values| values.iter().any(|it| fits(it, true))),
        "StringEquals" | "Bool" => {
            found.is_some_and(|values| values.iter().any(|it| fits(it, false)))
        }
        "Null" => (found.is_none()) == (expected == &["true"]),
        other => panic!("what does {other} of {key} mean?"),
    }
}

/// Returns whether `text` is one that the pattern means: `*` is any number of characters, `/` as well, and `?` is one.
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

/// Of the services that are asked of; others have conditions that nothing here knows.
fn statements(policy: &Value, parameters: &[(&str, &str)]) -> Vec<Statement> {
    let written = list(&policy["Statement"]).into_iter().flat_map(list);
    // One that is there on a condition is in a list with it.
    let written = written.filter(|it| it.is_object());
    let known = written.filter(|it| {
        let mut actions = list(&it["Action"]).into_iter().filter_map(Value::as_str);
        actions.any(is_of_data)
    });
    known.map(|it| statement(it, parameters)).collect()
}

/// Returns whether an action is one of the services that the tables speak of. IAM ignores its case.
pub fn is_of_data(action: &str) -> bool {
    let action = action.to_lowercase();
    ["s3:", "dynamodb:", "*"].iter().any(|begins| action.starts_with(begins))
}

fn statement(written: &Value, parameters: &[(&str, &str)]) -> Statement {
    let sid = &written["Sid"];
    for opposite in ["NotAction", "NotResource"] {
        assert!(written[opposite].is_null(), "{sid}: {opposite} is more than anybody can read");
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

/// A parameter that is a list is several texts, with a comma between them.
fn resolved(text: &str, parameters: &[(&str, &str)]) -> Vec<String> {
    for (name, value) in parameters {
        if text == *name {
            return value.split(',').map(str::to_owned).collect();
        }
    }
    let filled = parameters
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value));
    assert!(!filled.contains("${"), "what is {filled}?");
    vec![filled]
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        one => vec![one],
    }
}

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
