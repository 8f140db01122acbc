use std::io::Write;
use std::path::PathBuf;

use bcce_core::config::directory::warnings;

use crate::directory::{checked, print_warnings};
use crate::exit::{Exit, Outcome};
use crate::secrets;
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory with models.yaml, routing.yaml, policy.yaml, budgets.yaml, prices.yaml and workflows/NAME.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let today = world.now().date();
    let texts =
        checked(&args.directory, Some(today), Exit::Failed, "correct the files and check again")?;
    writeln!(out, "{}: {} files are valid", args.directory.display(), texts.len())?;
    print_warnings(warnings(&texts, today));
    print_warnings(secrets::needed_of(&world.environment, &texts));
    Ok(Exit::Done)
}
