use std::io::Write;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::arguments::Cli;
use crate::exit::{Exit, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell that reads the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub fn run(args: Args, out: &mut dyn Write) -> Outcome {
    out.write_all(&script(args.shell))?;
    Ok(Exit::Done)
}

/// Returns the completion script for a shell. It is complete before it is printed, because `generate` panics if the
/// reader of the output has closed the pipe.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "bcce", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_completes_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["reconcile", "dry-run", "redrive", "completions"] {
                assert!(script.contains(word), "{word} is missing for {shell}");
            }
        }
    }
}
