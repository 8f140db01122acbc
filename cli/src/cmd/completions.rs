use std::io::Write;

use clap::Command;
use clap_complete::{Shell, generate};

use crate::exit::{Exit, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell that reads the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: Args, root: Command, out: &mut dyn Write) -> Outcome {
    out.write_all(&script(args.shell, root))?;
    Ok(Exit::Done)
}

/// Returns the completion script for a shell. It is complete before it is printed, because `generate` panics if the
/// reader of the output has closed the pipe.
pub fn script(shell: Shell, mut root: Command) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut root, "bcce", &mut script);
    script
}
