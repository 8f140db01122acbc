//! Turns findings into a verdict, as a sentence or as JSON in the schema of the workflow.

use serde_json::{Value, json};

use super::finding::{Finding, Severity};
use crate::scripted_model::answer::schema::{filled, filled_part, kind, resolved};

/// The consequence of the most severe finding, with the words that schemas use for it.
struct Ruling {
    sentence: &'static str,
    /// The words to look for in the values of an enum, the closest first.
    words: &'static [&'static str],
    accepts: bool,
}

const APPROVE: Ruling = Ruling {
    sentence: "approve",
    words: &["approve", "accept", "pass", "merge", "ok", "none", "low", "info"],
    accepts: true,
};
const REMARK: Ruling = Ruling {
    sentence: "approve with remarks",
    words: &["comment", "remark", "warn", "minor", "medium", "approve", "accept", "pass", "ok"],
    accepts: true,
};
const REFUSE: Ruling = Ruling {
    sentence: "request changes",
    words: &["request", "change", "reject", "block", "fail", "deny", "high", "critical"],
    accepts: false,
};

/// Returns the verdict as a sentence.
pub fn sentence(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (high, medium, low) = (of(Severity::High), of(Severity::Medium), of(Severity::Low));
    let ruling = ruling(findings).sentence;
    format!(
        "Verdict of the scripted model: {ruling}. Findings: {high} high, {medium} medium, {low} low."
    )
}

/// Returns the verdict as JSON in `schema`.
///
/// # Errors
/// A sentence for the caller.
pub fn json(findings: &[Finding], schema: &Value) -> Result<Value, String> {
    filled(schema, &|name, property| whole(findings, schema, name, property))
}

fn ruling(findings: &[Finding]) -> Ruling {
    match findings.iter().map(|finding| finding.severity).max() {
        None => APPROVE,
        Some(Severity::High) => REFUSE,
        Some(_) => REMARK,
    }
}

/// Returns the value of a property of the verdict, chosen by the type and the name of the property.
fn whole(findings: &[Finding], root: &Value, name: &str, schema: &Value) -> Option<Value> {
    let ruling = ruling(findings);
    if schema["enum"].is_array() {
        return closest(schema, ruling.words);
    }
    match kind(schema) {
        "string" => text(schema, sentence(findings)),
        "boolean" if named(name, REFUSE.words) => Some(json!(!ruling.accepts)),
        "boolean" if named(name, APPROVE.words) => Some(json!(ruling.accepts)),
        "integer" if named(name, &["count", "finding", "total", "issue"]) => {
            Some(json!(findings.len()))
        }
        "array" => list(findings, root, schema),
        _ => None,
    }
}

/// Returns a list with one item for each finding, within the bounds of the schema.
fn list(findings: &[Finding], root: &Value, schema: &Value) -> Option<Value> {
    let bound = |key: &str| schema[key].as_u64().map(|items| items as usize);
    if findings.len() < bound("minItems").unwrap_or(0) {
        return None;
    }
    let item = resolved(root, &schema["items"])?;
    let of = |finding: &Finding| {
        filled_part(root, item, &|name, property| part(finding, name, property)).ok()
    };
    let most = bound("maxItems").unwrap_or(usize::MAX);
    findings.iter().take(most).map(of).collect()
}

/// Returns the value of a property of one finding. Without a name, returns the finding as an item of a list of texts.
fn part(finding: &Finding, name: &str, schema: &Value) -> Option<Value> {
    if schema["enum"].is_array() {
        let area = closest(schema, &[finding.area]);
        return area.or_else(|| closest(schema, severity_words(finding.severity)));
    }
    match kind(schema) {
        "integer" if named(name, &["line"]) => Some(json!(finding.line)),
        "string" if name.is_empty() => text(schema, finding.to_string()),
        "string" if named(name, &["file", "path"]) => text(schema, finding.path.clone()),
        "string" if named(name, &["where", "location", "place"]) => {
            text(schema, format!("{}:{}", finding.path, finding.line))
        }
        "string" if named(name, &["severity", "level", "priority"]) => {
            text(schema, finding.severity.name().to_owned())
        }
        "string" if named(name, &["area", "category", "kind", "reviewer", "source"]) => {
            text(schema, finding.area.to_owned())
        }
        "string" => text(schema, finding.message.clone()),
        _ => None,
    }
}

/// Returns the words that schemas use for a severity, the closest first.
fn severity_words(severity: Severity) -> &'static [&'static str] {
    match severity {
        Severity::Low => &["low", "info", "minor", "note", "nit"],
        Severity::Medium => &["medium", "moderate", "warn", "minor"],
        Severity::High => &["high", "critical", "error", "block", "major"],
    }
}

/// Returns the value of the enum that contains the earliest of the words.
fn closest(schema: &Value, words: &[&str]) -> Option<Value> {
    let values: Vec<&Value> = schema["enum"].as_array()?.iter().collect();
    let with = |word: &&str| {
        values.iter().find(|value| value.as_str().is_some_and(|text| named(text, &[word])))
    };
    words.iter().find_map(with).map(|value| (*value).clone())
}

fn named(name: &str, words: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// Returns the text, cut to the maximum length. Returns `None` if it is too short or the schema has a pattern.
fn text(schema: &Value, text: String) -> Option<Value> {
    let length = |key: &str| schema[key].as_u64().map(|length| length as usize);
    let text: String = text.chars().take(length("maxLength").unwrap_or(usize::MAX)).collect();
    let fits = text.chars().count() >= length("minLength").unwrap_or(0);
    (fits && schema.get("pattern").is_none()).then(|| json!(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(severities: &[Severity]) -> Vec<Finding> {
        let of = |(at, severity): (usize, &Severity)| Finding {
            area: "security",
            severity: *severity,
            path: "src/a.rs".into(),
            line: at + 1,
            message: "looks like a secret".into(),
        };
        severities.iter().enumerate().map(of).collect()
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["verdict", "summary", "findings"],
            "properties": {
                "verdict": { "type": "string", "enum": ["approve", "comment", "request_changes"] },
                "blocking": { "type": "boolean" },
                "summary": { "type": "string", "maxLength": 60 },
                "findings": { "type": "array", "items": { "$ref": "#/$defs/finding" } },
                "titles": { "type": "array", "maxItems": 1, "items": { "type": "string" } },
            },
            "$defs": { "finding": {
                "type": "object",
                "required": ["file", "line", "severity", "message", "certain"],
                "properties": {
                    "file": { "type": "string" },
                    "line": { "type": "integer" },
                    "severity": { "enum": ["low", "medium", "high"] },
                    "message": { "type": "string" },
                    "certain": { "type": "boolean" },
                },
            }},
        })
    }

    #[test]
    fn the_most_severe_finding_decides() {
        let verdict = |severities: &[Severity]| json(&findings(severities), &schema()).unwrap();
        assert_eq!(verdict(&[])["verdict"], "approve");
        assert_eq!(verdict(&[Severity::Low, Severity::Medium])["verdict"], "comment");
        let refused = verdict(&[Severity::Low, Severity::High]);
        assert_eq!(refused["verdict"], "request_changes");
        assert_eq!(refused["blocking"], true);
        assert_eq!(verdict(&[])["blocking"], false);
    }

    #[test]
    fn the_findings_are_in_the_verdict_under_the_names_of_the_schema() {
        let verdict = json(&findings(&[Severity::High, Severity::Low]), &schema()).unwrap();
        let first = json!({
            "file": "src/a.rs", "line": 1, "severity": "high", "message": "looks like a secret", "certain": false,
        });
        assert_eq!(verdict["findings"][0], first);
        assert_eq!(verdict["findings"].as_array().unwrap().len(), 2);
        assert_eq!(verdict["titles"], json!(["[security/high] src/a.rs:1: looks like a secret"]));
        assert_eq!(verdict["summary"].as_str().unwrap().chars().count(), 60);
    }

    #[test]
    fn a_severity_finds_its_word_in_other_vocabularies() {
        let words = json!({ "enum": ["info", "warning", "error"] });
        let all = findings(&[Severity::High, Severity::Medium, Severity::Low]);
        let found: Vec<_> =
            all.iter().map(|finding| part(finding, "level", &words).unwrap()).collect();
        assert_eq!(found, ["error", "warning", "info"]);
        let areas = json!({ "enum": ["correctness", "security"] });
        assert_eq!(part(&all[0], "area", &areas).unwrap(), "security");
    }

    #[test]
    fn a_list_that_must_not_be_empty_is_not() {
        let schema = json!({ "required": ["x"], "properties": {
            "x": { "type": "array", "minItems": 1, "items": { "type": "string" } },
        }});
        assert_eq!(json(&[], &schema).unwrap()["x"].as_array().unwrap().len(), 1);
    }
}
