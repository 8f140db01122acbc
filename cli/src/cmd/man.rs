use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Command;

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::manual::{self, Format};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Command whose page to print, such as runs list [default: the overview]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands to this directory, and delete those of commands that no longer exist
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
    /// Write Markdown instead of man pages
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: Args, root: Command, out: &mut dyn Write) -> Outcome {
    let format = if args.markdown { Format::Markdown } else { Format::Man };
    let pages = manual::pages(root, format);
    if let Some(dir) = &args.dir {
        manual::write(dir, &pages, format).map_err(|error| unwritten(dir, &error))?;
        let count = figures::plural(pages.len(), "page");
        writeln!(out, "{}: wrote {count}", dir.display())?;
        return Ok(Exit::Done);
    }
    let path: Vec<&str> = args.command.iter().map(String::as_str).collect();
    let page = pages.get(&format.file(&path)).ok_or_else(|| unknown(&path))?;
    out.write_all(page.as_bytes())?;
    Ok(Exit::Done)
}

fn unwritten(dir: &Path, error: &std::io::Error) -> Failure {
    let what = format!("--dir: the pages cannot be written to {}: {error}", dir.display());
    Failure::usage(what, "choose a directory in which you may create files")
}

fn unknown(path: &[&str]) -> Failure {
    let what = format!("there is no page for `bcce {}`", path.join(" "));
    Failure::usage(what, "`bcce help` lists the commands")
}
