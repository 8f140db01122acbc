use std::io::Write;
use std::path::PathBuf;

use crate::exit::Outcome;
use crate::json;
use crate::metrics::dimension::Dimension;
use crate::metrics::platform::PlatformPrices;
use crate::metrics::print;
use crate::metrics::{Selected, Selection, View};
use crate::world::World;

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&print::REPORT, &print::SUMS]))]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Compare with as many days before the period; not in CSV
    #[arg(long, conflicts_with = "csv")]
    compare: bool,
    /// Show what AWS charges besides tokens as well; with a group that runs have: workflow, tenant, day or tag:NAME
    #[arg(long)]
    platform: bool,
    /// Take the prices of AWS from this file; infra/config/platform_prices.yaml is an example
    #[arg(long, value_name = "FILE", requires = "platform")]
    platform_prices: Option<PathBuf>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let prices = match args.platform {
        true => Some(PlatformPrices::read(args.platform_prices.as_deref())?),
        false => None,
    };
    if prices.is_some() {
        args.selection.check_of_runs()?;
    }
    let selected = args.selection.read(Dimension::Workflow, args.compare, world).await?;
    let selected = Selected { platform: prices, ..selected };
    print::sums(&selected, View::Cost, world, out)
}
