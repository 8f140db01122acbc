use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use bcce_core::config::{Pointer, fits_parameter, parameter_name};
use bcce_core::configuration::{self, DOCUMENTS, document_name};
use bcce_core::digest::sha256_hex;
use bcce_core::ports::GetParameters;

use super::validate::{files, wrong};
use crate::exit::{Exit, Outcome};
use crate::stack::Stack;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory with models, routing, policy and prices.yaml, and workflows/<name>.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let files = files(&args.directory)?;
    let findings = configuration::check(&files);
    if !findings.is_empty() {
        let mut failure = wrong(&args.directory, &findings);
        failure.then = "nothing was pushed; mend them and push again".into();
        return Err(failure);
    }
    let stack = Stack::find(world).await?;
    let current = current(&stack).await?;
    for (file, text) in &files {
        let Some(name) = document_name(file) else { continue };
        let entry = Entry::of(&stack.outputs.artifact_bucket, name, text);
        let parameter = parameter_name(&stack.environment, name);
        let before = current.get(&parameter);
        if before == Some(&entry.value) {
            writeln!(out, "  unchanged  {parameter}")?;
            continue;
        }
        // The object first: a pointer must never lead nowhere.
        if let Some(key) = &entry.key {
            stack.store.put(key, text.as_bytes()).await?;
        }
        stack.parameters.put(&parameter, &entry.value).await?;
        let what = if before.is_some() { "changed" } else { "new" };
        writeln!(
            out,
            "  {what:<9}  {parameter}{}",
            entry.key.map(|key| format!(" -> {key}")).unwrap_or_default()
        )?;
    }
    for parameter in left(&stack.environment, &current, &files) {
        writeln!(out, "  left       {parameter}, which is not in {}", args.directory.display())?;
    }
    Ok(Exit::Done)
}

/// What the stack has now, by parameter.
async fn current(stack: &Stack) -> Outcome<BTreeMap<String, String>> {
    let names = DOCUMENTS.map(|name| parameter_name(&stack.environment, name));
    let mut current = stack.parameters.parameters(&names).await?;
    current.extend(stack.parameters.below(&parameter_name(&stack.environment, "workflows")).await?);
    Ok(current)
}

/// Workflows nobody has a file for go on to work; taking one away is not a push's business.
fn left(
    environment: &str,
    current: &BTreeMap<String, String>,
    files: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: Vec<&str> = files.keys().filter_map(|file| document_name(file)).collect();
    let here = |parameter: &&String| {
        !names.iter().any(|name| **parameter == parameter_name(environment, name))
    };
    current.keys().filter(here).cloned().collect()
}

/// How a document is kept.
#[derive(Debug, PartialEq)]
struct Entry {
    /// Of the SSM parameter: the text itself, or where it lies.
    value: String,
    /// Of the object with the text.
    key: Option<String>,
}

impl Entry {
    /// Workflows always lie in S3: SSM refuses `{{ }}`, and one rule is easier to follow than two.
    fn of(bucket: &str, name: &str, text: &str) -> Self {
        if fits_parameter(text) && !name.starts_with("workflows/") {
            return Self { value: text.to_owned(), key: None };
        }
        let key = format!("config/{name}/{}.yaml", sha256_hex(text.as_bytes()));
        let pointer = Pointer::to(bucket, &key, text.as_bytes());
        Self { value: serde_json::to_string(&pointer).unwrap_or_default(), key: Some(key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_document_is_kept_inline_and_a_large_one_pointed_to() {
        let small = Entry::of("b", "policy", "version: 1\n");
        assert_eq!((small.value.as_str(), small.key), ("version: 1\n", None));
        let large = Entry::of("b", "prices", &"#".repeat(5_000));
        let pointer = Pointer::parse(&large.value).unwrap();
        assert_eq!(pointer.key_in("b"), large.key.as_deref());
        assert_eq!(large.key, Some(format!("config/prices/{}.yaml", pointer.sha256)));
    }

    #[test]
    fn a_workflow_is_always_pointed_to() {
        let entry = Entry::of("b", "workflows/explain", "version: 1\n");
        assert!(entry.key.is_some_and(|key| key.starts_with("config/workflows/explain/")));
    }

    #[test]
    fn a_workflow_without_a_file_is_left() {
        let current =
            ["/bcce/dev/models", "/bcce/dev/workflows/explain", "/bcce/dev/workflows/old"];
        let current = current.map(|name| (name.to_owned(), String::new())).into();
        let files = ["models.yaml", "workflows/explain.yaml"]
            .map(|file| (file.to_owned(), String::new()))
            .into();
        assert_eq!(left("dev", &current, &files), ["/bcce/dev/workflows/old"]);
    }
}
