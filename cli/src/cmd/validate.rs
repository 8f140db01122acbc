use std::io::Write;
use std::path::PathBuf;

use bcce_core::config::directory::warnings;

use crate::directory::{checked, print_warnings};
use crate::exit::{Exit, Outcome};
use crate::json::{self, Field};
use crate::secrets;
use crate::world::World;

const FIELDS: [Field; 2] = [
    ("files", "names of the files within the directory, which are all valid"),
    ("warnings", "list of texts"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object. Faults are an error, which is printed to standard error.", &[&FIELDS]))]
pub struct Args {
    /// Directory with models.yaml, routing.yaml, policy.yaml, budgets.yaml, prices.yaml and workflows/NAME.yaml
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let today = world.now().date();
    let texts =
        checked(&args.directory, Some(today), Exit::Failed, "correct the files and check again")?;
    let mut all: Vec<String> = warnings(&texts, today).iter().map(ToString::to_string).collect();
    all.extend(secrets::needed_of(&world.environment, &texts));
    if args.json {
        let files = texts.keys().collect::<Vec<_>>();
        json::print(&serde_json::json!({ "files": files, "warnings": all }), out)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "{}: {} files are valid", args.directory.display(), texts.len())?;
    print_warnings(all);
    Ok(Exit::Done)
}
