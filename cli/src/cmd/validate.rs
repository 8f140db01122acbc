use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use bcce_core::configuration::{self, Finding};

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory with models, routing, policy and prices.yaml, and workflows/<name>.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(args: Args, _world: &World, out: &mut dyn Write) -> Outcome {
    let files = files(&args.directory)?;
    let findings = configuration::check(&files);
    if findings.is_empty() {
        writeln!(
            out,
            "{}: {} and all they say of each other are right",
            args.directory.display(),
            figures::plural(files.len(), "file")
        )?;
        return Ok(Exit::Done);
    }
    Err(wrong(&args.directory, &findings))
}

pub fn wrong(directory: &Path, findings: &[Finding]) -> Failure {
    let told: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
    Failure {
        exit: Exit::Failed,
        what: format!(
            "{} has {}:{told}",
            directory.display(),
            figures::plural(findings.len(), "fault")
        ),
        then: "mend them and check again".into(),
    }
}

/// The YAML files of a directory and of its folders, by path within it.
pub fn files(directory: &Path) -> Outcome<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for path in entries(directory)? {
        let inside = if path.is_dir() { entries(&path)? } else { vec![path] };
        for path in inside.into_iter().filter(|path| is_yaml(path)) {
            let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}

fn is_yaml(path: &Path) -> bool {
    path.is_file()
        && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

fn entries(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let read = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    Ok(read.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let then = "name a directory of configuration, e.g. infra/config/dev";
    Failure::usage(format!("{} cannot be read: {error}", path.display()), then)
}
