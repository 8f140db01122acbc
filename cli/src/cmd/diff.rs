use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::push::{left, left_as_json};
use crate::directory::checked;
use crate::documents::{Comparison, Document, State};
use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::paint::{Ink, Line, render_exactly, span};
use crate::stack::Stack;
use crate::world::World;

/// The number of unchanged lines around a change, as in `diff -u`.
const AROUND: usize = 3;

const FIELDS: [Field; 7] = [
    ("documents", "list of the documents of the directory"),
    (
        "documents[].file, documents[].parameter",
        "the file, and the SSM parameter to which a push writes it",
    ),
    ("documents[].state", "unchanged, new, changed or broken"),
    ("documents[].cause", "why the document is broken in the stack, or null"),
    (
        "documents[].diff",
        "differences from the text in the stack to that of the file, as `diff -u` prints them, or null",
    ),
    (
        "left",
        "list of the documents that a push leaves in the stack: parameter, and cause if it is broken, or null",
    ),
    ("differing", "number of documents that a push would write"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// Directory with models.yaml, routing.yaml, policy.yaml, budgets.yaml, prices.yaml and workflows/NAME.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let then = "nothing was compared; correct the files and compare again";
    // The exit code is not 1, as in `config validate`, because 1 means that a push would change something.
    let files = checked(&args.directory, Some(world.now().date()), Exit::Usage, then)?;
    let stack = Stack::find(world).await?;
    let comparison = Comparison::of(&stack, &files).await?;
    if args.json {
        json::print(&as_json(&comparison, &args.directory), out)?;
        return Ok(if comparison.differing() == 0 { Exit::Done } else { Exit::Failed });
    }
    for line in lines(&comparison, &args.directory) {
        writeln!(out, "{}", render_exactly(&line, world.color))?;
    }
    if comparison.differing() == 0 {
        return Ok(Exit::Done);
    }
    let push = stack.command(&format!("config push {}", args.directory.display()));
    let documents = figures::plural(comparison.differing(), "document");
    writeln!(out, "-> `{push}` writes {documents}")?;
    Ok(Exit::Failed)
}

fn as_json(comparison: &Comparison, directory: &Path) -> Value {
    let document = |document: &Document| {
        let (state, cause, before) = match &document.state {
            State::Unchanged => ("unchanged", None, None),
            State::New => ("new", None, None),
            State::Changed(before) => ("changed", None, Some(before)),
            State::Broken { cause, text } => ("broken", Some(cause), text.as_ref()),
        };
        let file = directory.join(&document.file).display().to_string();
        let diff = before.map(|before| {
            let lines = differences(document, before, &file);
            lines.iter().map(|line| render_exactly(line, false) + "\n").collect::<String>()
        });
        json!({ "file": file, "parameter": document.parameter, "state": state, "cause": cause, "diff": diff })
    };
    json!({
        "documents": comparison.documents.iter().map(document).collect::<Vec<_>>(),
        "left": left_as_json(comparison),
        "differing": comparison.differing(),
    })
}

fn lines(comparison: &Comparison, directory: &Path) -> Vec<Line> {
    let unchanged = comparison.documents.len() - comparison.differing();
    let unchanged = format!("  unchanged  {}", figures::plural(unchanged, "document"));
    let mut lines = vec![vec![span(Ink::Dim, unchanged)]];
    for document in &comparison.documents {
        lines.extend(describe(document, directory));
    }
    lines.extend(left(comparison, directory).into_iter().map(|line| vec![span(Ink::Dim, line)]));
    lines
}

/// Lists a document: a new one with its number of lines, a changed one with its differences.
fn describe(document: &Document, directory: &Path) -> Vec<Line> {
    let heading = |ink, what: &str, more: String| {
        let parameter = &document.parameter;
        vec![span(ink, format!("  {what:<9}")), span(Ink::Plain, format!("  {parameter}{more}"))]
    };
    let file = directory.join(&document.file).display().to_string();
    match &document.state {
        State::Unchanged => vec![],
        State::New => {
            let count = figures::plural(document.text.lines().count(), "line");
            vec![heading(Ink::Green, "new", format!(", {count}"))]
        }
        State::Changed(before) => {
            let mut lines = vec![heading(Ink::Yellow, "changed", String::new())];
            lines.extend(differences(document, before, &file));
            lines
        }
        State::Broken { cause, text } => {
            let mut lines = vec![heading(Ink::Red, "broken", format!(": {cause}"))];
            lines.extend(text.iter().flat_map(|before| differences(document, before, &file)));
            lines
        }
    }
}

/// Returns a unified diff from the text in the stack to the text of the file.
fn differences(document: &Document, before: &str, file: &str) -> Vec<Line> {
    let mut lines = vec![
        vec![span(Ink::Bold, format!("--- {}", document.parameter))],
        vec![span(Ink::Bold, format!("+++ {file}"))],
    ];
    let diff = TextDiff::from_lines(before, &document.text);
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        lines.push(vec![span(Ink::Dim, hunk.header().to_string())]);
        for change in hunk.iter_changes() {
            let ink = match change.tag() {
                ChangeTag::Equal => Ink::Plain,
                ChangeTag::Delete => Ink::Red,
                ChangeTag::Insert => Ink::Green,
            };
            let text = change.value().strip_suffix('\n').unwrap_or(change.value());
            lines.push(vec![span(ink, format!("{}{text}", change.tag()))]);
            if change.missing_newline() {
                lines.push(vec![span(Ink::Dim, "\\ No newline at end of file")]);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::tests::document;

    fn shown(documents: Vec<Document>) -> Vec<String> {
        let comparison = Comparison { documents, left: vec![] };
        let lines = lines(&comparison, Path::new("dev"));
        lines.iter().map(|line| render_exactly(line, false)).collect()
    }

    #[test]
    fn what_is_unchanged_is_counted_and_what_is_new_is_named() {
        let documents = vec![
            document("models", "version: 1\n", State::Unchanged),
            document("policy", "version: 1\n", State::Unchanged),
            document("workflows/explain", "version: 1\nname: explain\n", State::New),
        ];
        let expected =
            ["  unchanged  2 documents", "  new        /bcce/dev/workflows/explain, 2 lines"];
        assert_eq!(shown(documents), expected);
    }

    #[test]
    fn a_change_is_a_unified_diff_from_the_stack_to_the_file() {
        let before = "a\nb\nc\nd\ne \nf\ng\nh\ni\nj\nk";
        let text = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\n";
        let shown = shown(vec![document("policy", text, State::Changed(before.into()))]);
        let expected = [
            "  unchanged  0 documents",
            "  changed    /bcce/dev/policy",
            "--- /bcce/dev/policy",
            "+++ dev/policy.yaml",
            "@@ -2,10 +2,10 @@",
            " b",
            " c",
            " d",
            "-e ",
            "+e",
            " f",
            " g",
            " h",
            " i",
            " j",
            "-k",
            "\\ No newline at end of file",
            "+k",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn json_has_the_state_and_the_differences_of_each_document() {
        let documents = vec![
            document("models", "a\n", State::Unchanged),
            document("policy", "a\n", State::Changed("b\n".into())),
        ];
        let left = vec![("/bcce/dev/workflows/old".into(), None)];
        let json = as_json(&Comparison { documents, left }, Path::new("dev"));
        assert_eq!(json::undocumented(&json, &[&FIELDS]), [""; 0]);
        assert_eq!(json["documents"][0]["diff"], Value::Null);
        assert_eq!(json["documents"][1]["state"], "changed");
        let diff = "--- /bcce/dev/policy\n+++ dev/policy.yaml\n@@ -1 +1 @@\n-b\n+a\n";
        assert_eq!(json["documents"][1]["diff"], diff);
        assert_eq!((&json["differing"], &json["left"][0]["cause"]), (&json!(1), &Value::Null));
    }

    #[test]
    fn lines_that_end_otherwise_are_seen_to() {
        let shown = shown(vec![document("policy", "a\n", State::Changed("a\r\n".into()))]);
        assert_eq!(shown[4..], ["@@ -1 +1 @@", "-a\u{240d}", "+a"]);
    }

    #[test]
    fn what_is_broken_is_shown_with_its_cause_and_its_text_where_there_is_one() {
        let broken = |text: Option<&str>| {
            let cause = "uri: there is no config/x".to_owned();
            let state = State::Broken { cause, text: text.map(str::to_owned) };
            shown(vec![document("policy", "b\n", state)])
        };
        let heading = "  broken     /bcce/dev/policy: uri: there is no config/x";
        assert_eq!(broken(None)[1..], [heading]);
        assert_eq!(broken(Some("a\n"))[1], heading);
        assert_eq!(broken(Some("a\n"))[4..], ["@@ -1 +1 @@", "-a", "+b"]);
    }
}
