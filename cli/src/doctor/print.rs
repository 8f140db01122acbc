//! Prints the checks, for people and as JSON.

use std::io::Write;

use serde_json::{Value, json};

use super::{Check, Group, State};
use crate::exit::Outcome;
use crate::figures;
use crate::paint::{Ink, Line, render, span};

/// Prints the checks by subject. Checks that passed are counted unless `verbose` is true.
pub fn text(groups: &[Group], verbose: bool, color: bool, out: &mut dyn Write) -> Outcome<()> {
    for group in groups {
        for line in lines(group, verbose) {
            // A remedy is not cut because people copy the command in it.
            writeln!(out, "{}", render(&line, color, usize::MAX))?;
        }
    }
    let of = |state| groups.iter().map(|group| group.count(state)).sum::<usize>();
    let (warned, failed) = (of(State::Warn), of(State::Fail));
    let passed = figures::plural(of(State::Pass), "check");
    writeln!(out, "{passed} passed, {warned} warned, {failed} failed")?;
    Ok(())
}

fn lines(group: &Group, verbose: bool) -> Vec<Line> {
    let worst = group.checks.iter().map(|check| check.state).max().unwrap_or(State::Pass);
    let passed = format!("{} passed", group.count(State::Pass));
    let heading = vec![
        span(ink(worst), format!("{:<5} ", label(worst))),
        span(Ink::Bold, format!("{:<12}", group.name)),
        span(Ink::Dim, passed),
    ];
    let is_shown = |check: &&Check| verbose || check.state != State::Pass;
    let shown = group.checks.iter().filter(is_shown).flat_map(of_check);
    std::iter::once(heading).chain(shown).collect()
}

fn of_check(check: &Check) -> Vec<Line> {
    let subject = match check.subject.as_str() {
        "" => String::new(),
        subject => format!(" {subject}"),
    };
    let mut lines = vec![vec![
        span(ink(check.state), format!("  {:<5} ", label(check.state))),
        span(Ink::Bold, check.name),
        span(Ink::Plain, format!("{subject}: {}", check.reason)),
    ]];
    if !check.remedy.is_empty() {
        lines.push(vec![span(Ink::Plain, format!("        -> {}", check.remedy))]);
    }
    lines
}

fn label(state: State) -> &'static str {
    match state {
        State::Pass => "pass",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

fn ink(state: State) -> Ink {
    match state {
        State::Pass => Ink::Green,
        State::Warn => Ink::Yellow,
        State::Fail => Ink::Red,
    }
}

/// Returns the checks as JSON. The help of the command documents the fields.
pub fn document(environment: &str, groups: &[Group]) -> Value {
    let of = |state| groups.iter().map(|group| group.count(state)).sum::<usize>();
    let checks = groups.iter().flat_map(|group| {
        group.checks.iter().map(|check| {
            let mut value = json!(check);
            value["group"] = group.name.into();
            value
        })
    });
    let checks: Vec<Value> = checks.collect();
    json!({
        "version": 1,
        "environment": environment,
        "passed": of(State::Pass),
        "warned": of(State::Warn),
        "failed": of(State::Fail),
        "checks": checks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        let checks = vec![
            Check::pass("key-state", "a", "enabled"),
            Check::fail(
                "key-state",
                "b",
                "the key is disabled\n",
                "`aws kms enable-key --key-id b`",
            ),
        ];
        vec![Group { name: "keys", checks }]
    }

    #[test]
    fn only_findings_are_printed_with_their_remedies() {
        let mut out = Vec::new();
        text(&groups(), false, false, &mut out).unwrap();
        let expected = "\
fail  keys        1 passed
  fail  key-state b: the key is disabled
        -> `aws kms enable-key --key-id b`
1 check passed, 0 warned, 1 failed
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        text(&groups(), true, false, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("  pass  key-state a: enabled\n"));
    }

    #[test]
    fn the_json_has_each_check_with_its_group() {
        let document = document("dev", &groups());
        assert_eq!((&document["passed"], &document["failed"]), (&json!(1), &json!(1)));
        let expected = json!({
            "group": "keys", "name": "key-state", "state": "pass", "subject": "a", "reason": "enabled", "remedy": ""
        });
        assert_eq!(document["checks"][0], expected);
    }
}
