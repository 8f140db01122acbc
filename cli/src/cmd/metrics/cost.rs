use std::io::Write;

use crate::exit::Outcome;
use crate::metrics::dimension::Dimension;
use crate::metrics::print;
use crate::metrics::{Selection, View};
use crate::world::World;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Compare with as many days before the period; not in CSV
    #[arg(long, conflicts_with = "csv")]
    compare: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let selected = args.selection.read(Dimension::Workflow, args.compare, world).await?;
    print::sums(&selected, View::Cost, world, out)
}
