use std::io::Write;

use crate::exit::Outcome;
use crate::json;
use crate::metrics::dimension::Dimension;
use crate::metrics::print;
use crate::metrics::{Selection, View};
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&print::REPORT, &print::SUMS]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let selected = args.selection.read(Dimension::Model, false, world).await?;
    print::sums(&selected, View::Usage, world, out)
}
