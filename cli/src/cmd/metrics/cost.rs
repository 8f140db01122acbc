use std::io::Write;
use std::path::{Path, PathBuf};

use crate::budgets::counted;
use crate::exit::Outcome;
use crate::json;
use crate::metrics::dimension::Dimension;
use crate::metrics::platform::PlatformPrices;
use crate::metrics::print;
use crate::metrics::{Selected, Selection, View};
use crate::report::cost;
use crate::report::file::PageFile;
use crate::stack::{Stack, command_of, quoted};
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
    /// Write a page of HTML to this file, or to standard output with `-`, with --platform if the group allows it; an
    /// existing file is replaced
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    html: Option<PathBuf>,
    /// Take the prices of AWS from this file; infra/config/platform_prices.yaml is an example
    #[arg(long, value_name = "FILE", requires = "platform")]
    platform_prices: Option<PathBuf>,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    // A page shows what AWS takes whenever it is known.
    let is_known = args.html.is_some() && args.selection.check_of_runs().is_ok();
    let prices = match args.platform || is_known {
        true => Some(PlatformPrices::read(args.platform_prices.as_deref())?),
        false => None,
    };
    if prices.is_some() {
        args.selection.check_of_runs()?;
    }
    let selected = args.selection.read(Dimension::Workflow, args.compare, world).await?;
    let selected = Selected { platform: prices, ..selected };
    let Some(html) = args.html else { return print::sums(&selected, View::Cost, world, out) };
    let prices = args.platform_prices.as_deref();
    let command = command_of(&world.environment, &written(&selected, prices, &html));
    let now = world.now();
    let budgets = match selected.period.to == now.date() {
        true => counted(&Stack::find(world).await?, None, now).await?,
        false => Vec::new(),
    };
    let page = cost::page(&selected, &budgets, command, now);
    PageFile { html }.write(&page.render(), out)
}

/// Returns the rest of the command line that writes the same page on another day as well.
fn written(selected: &Selected, prices: Option<&Path>, html: &Path) -> String {
    let Selected { period, by, filters, .. } = selected;
    let compare = if selected.before.is_some() { " --compare" } else { "" };
    let file = |path: &Path| quoted(&path.display().to_string());
    let prices = prices.map(|path| format!(" --platform --platform-prices {}", file(path)));
    let prices = prices.unwrap_or_default();
    format!(
        "metrics cost --period {}..{} --by {}{}{compare}{prices} --html {}",
        period.from,
        period.to,
        quoted(&by.name()),
        filters.options(),
        file(html)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::samples::selected;

    #[test]
    fn the_command_of_a_page_is_quoted_for_a_shell() {
        let selected = selected(Dimension::Tag("cost center".into()));
        let (prices, html) = (Path::new("prices of $.yaml"), Path::new("my file's.html"));
        let command = command_of("dev", &written(&selected, Some(prices), html));
        let words = shlex::split(&command).unwrap();
        let expected = [
            "bcce",
            "metrics",
            "cost",
            "--period",
            "2026-11-01..2026-11-03",
            "--by",
            "tag:cost center",
            "--platform",
            "--platform-prices",
            "prices of $.yaml",
            "--html",
            "my file's.html",
        ];
        assert_eq!(words, expected);
    }
}
