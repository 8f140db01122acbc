use std::io::Write;
use std::path::{Path, PathBuf};

use bcce_core::base::error::Fault;
use bcce_core::call::grammars::{Grammar, grammars};
use bcce_core::config::directory::warnings;
use bcce_core::config::models::Models;
use bcce_core::config::policy::Policy;
use bcce_core::config::profiles::Profiles;
use bcce_core::config::template::Template;
use bcce_core::document::from_yaml;
use serde_json::{Value, json};

use crate::directory::{Texts, checked, print_warnings};
use crate::documents::{Comparison, Document, State};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::profiles;
use crate::secrets;
use crate::stack::Stack;
use crate::warm::warm;
use crate::world::World;
use bcce_core::config::entry::Entry;

const FIELDS: [Field; 5] = [
    ("documents", "list of the documents of the directory"),
    ("documents[].parameter", "the SSM parameter"),
    ("documents[].state", "unchanged, new, changed or repaired"),
    (
        "documents[].key",
        "key of the object that holds a text which does not fit a parameter, or null",
    ),
    (
        "left",
        "list of the documents that were left in the stack: parameter, and cause if it is broken, or null",
    ),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// Directory with models.yaml, routing.yaml, policy.yaml, budgets.yaml, prices.yaml and workflows/NAME.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Let Bedrock compile the schemas of the workflows afterwards, with one short call for each schema and target; the
    /// calls use your own credentials and are charged, but are not in the ledger
    #[arg(long)]
    warm: bool,
    /// Print the documents as JSON; other lines go to standard error
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let then = "nothing was pushed; correct the files and push again";
    // The targets are checked when Bedrock has described their profiles.
    let files = checked(&args.directory, None, Exit::Usage, then)?;
    print_warnings(warnings(&files, world.now().date()));
    let stack = Stack::find(world).await?;
    let described = profiles::describe_all(&stack, world, &files).await?;
    described.check(&args.directory, &files, world.now().date(), then)?;
    print_warnings(&described.notes);
    let comparison = Comparison::of(&stack, &files).await?;
    let (mut written, all) = (0, comparison.differing());
    // Runs are planned meanwhile, so the document first has the profiles of the old and the new documents.
    described.put_with_stored(&stack).await?;
    // If the output cannot be written, the push continues, so that the stack never has half of a change.
    let (mut printed, mut documents) = (Ok(()), Vec::new());
    let notes: &mut dyn Write = if args.json { &mut crate::terminal::errors() } else { &mut *out };
    for document in &comparison.documents {
        let entry = Entry::of(&stack.outputs.artifact_bucket, &document.name, &document.text);
        if document.differs() {
            let put = stack.write_document(&document.name, &document.text).await;
            put.map_err(|fault| broken_off(fault, written, all))?;
            written += 1;
        }
        match args.json {
            true => documents.push(as_json(document, &entry)),
            false => printed = printed.and_then(|()| writeln!(notes, "{}", line(document, &entry))),
        }
    }
    described.put(&stack).await.map_err(|fault| broken_off(fault, written, all))?;
    printed?;
    if let Some(line) = described.line(&stack.environment) {
        writeln!(notes, "{line}")?;
    }
    for line in left(&comparison, &args.directory).iter().filter(|_| !args.json) {
        writeln!(notes, "{line}")?;
    }
    print_warnings(secrets::missing(&stack, &files).await.unwrap_or_else(|fault| {
        vec![format!("the secrets of webhooks could not be checked: {}", fault.message)]
    }));
    let mut exit = Exit::Done;
    if args.warm {
        exit = warm_all(&stack, world, &files, &described.profiles, notes).await?;
    }
    if args.json {
        let left = left_as_json(&comparison);
        json::print(&json!({ "documents": documents, "left": left }), out)?;
    }
    Ok(exit)
}

/// Lets Bedrock compile all schemas. The documents were checked before, so one that cannot be parsed is skipped.
async fn warm_all(
    stack: &Stack,
    world: &World,
    files: &Texts,
    profiles: &Profiles,
    out: &mut dyn Write,
) -> Outcome {
    let read = |file: &str| files.get(file).map(String::as_str).unwrap_or_default();
    let models = from_yaml::<Models>(read("models.yaml")).value;
    let policy = from_yaml::<Policy>(read("policy.yaml")).value;
    let Some((models, policy)) = models.zip(policy) else { return Ok(Exit::Done) };
    let workflows = files.iter().filter(|(file, _)| file.starts_with("workflows/"));
    let templates: Vec<Template> =
        workflows.filter_map(|(_, text)| from_yaml(text).value).collect();
    let grammars: Vec<Grammar<'_>> = templates
        .iter()
        .flat_map(|template| grammars(template, &models, &policy, profiles))
        .collect();
    warm(stack, world, &grammars, out).await
}

/// Returns the failure of an interrupted push, with the number of documents that were written.
fn broken_off(fault: Fault, written: usize, all: usize) -> Failure {
    let mut failure = Failure::from(fault);
    let done = format!("{written} of {all} documents were written in full");
    failure.then += &format!("\n  -> {done}; push again to write the rest");
    failure
}

/// Returns what was done with a document.
fn done(document: &Document) -> &'static str {
    match document.state {
        State::Unchanged => "unchanged",
        State::New => "new",
        State::Changed(_) => "changed",
        State::Broken { .. } => "repaired",
    }
}

fn as_json(document: &Document, entry: &Entry) -> Value {
    json!({ "parameter": document.parameter, "state": done(document), "key": entry.key })
}

fn line(document: &Document, entry: &Entry) -> String {
    if !document.differs() {
        return format!("  unchanged  {}", document.parameter);
    }
    let what = done(document);
    let place = entry.key.as_ref().map(|key| format!(" -> {key}")).unwrap_or_default();
    format!("  {what:<9}  {}{place}", document.parameter)
}

/// Lists the documents that a push leaves in the stack.
pub fn left(comparison: &Comparison, directory: &Path) -> Vec<String> {
    let line = |(parameter, cause): &(String, Option<String>)| {
        let cause = cause.as_ref().map(|cause| format!("; {cause}")).unwrap_or_default();
        format!("  left       {parameter}, which is not in {}{cause}", directory.display())
    };
    comparison.left.iter().map(line).collect()
}

/// Returns the documents that a push leaves in the stack as JSON.
pub fn left_as_json(comparison: &Comparison) -> Value {
    let left = comparison.left.iter();
    left.map(|(parameter, cause)| json!({ "parameter": parameter, "cause": cause })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::tests::document;

    #[test]
    fn a_line_says_what_was_done_and_where_the_text_lies() {
        let broken = State::Broken { cause: "leads nowhere".into(), text: None };
        #[rustfmt::skip]
        let table = [
            ("policy", State::Unchanged, "  unchanged  /bcce/dev/policy"),
            ("policy", State::New, "  new        /bcce/dev/policy"),
            ("policy", State::Changed("version: 2".into()), "  changed    /bcce/dev/policy"),
            ("workflows/explain", broken, "  repaired   /bcce/dev/workflows/explain -> config/workflows/explain/"),
        ];
        for (name, state, expected) in table {
            let document = document(name, "version: 1", state);
            let line = line(&document, &Entry::of("b", &document.name, &document.text));
            assert!(line.starts_with(expected), "{line}");
            let entry = Entry::of("b", &document.name, &document.text);
            let json = as_json(&document, &entry);
            assert!(expected.contains(json["state"].as_str().unwrap()), "{json}");
            assert_eq!(json["key"].is_string(), expected.contains("->"), "{json}");
        }
    }

    #[test]
    fn a_push_that_breaks_off_says_how_far_it_came_and_what_to_do() {
        let failure = broken_off(Fault::internal("ssm:PutParameter /a: AccessDenied"), 2, 5);
        assert_eq!(failure.exit, Exit::Unreachable);
        for part in ["2 of 5 documents", "push again to write the rest", "lack this action"] {
            assert!(failure.then.contains(part), "{part} is missing in {}", failure.then);
        }
    }

    #[test]
    fn what_is_left_says_so_and_whether_it_works() {
        let left = |cause: Option<&str>| {
            let left = vec![("/bcce/dev/workflows/old".into(), cause.map(str::to_owned))];
            super::left(&Comparison { documents: vec![], left }, Path::new("dev"))
        };
        assert_eq!(left(None), ["  left       /bcce/dev/workflows/old, which is not in dev"]);
        assert!(left(Some("leads nowhere"))[0].ends_with("not in dev; leads nowhere"));
    }
}
