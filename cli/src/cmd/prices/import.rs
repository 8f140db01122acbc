use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use bcce_core::config::models::Models;
use bcce_core::config::pricing::catalog::Catalog;
use bcce_core::config::pricing::import::{Change, compare};
use bcce_core::config::pricing::{Price, PriceRow, Prices};
use bcce_core::config::profiles::region_of_profile;
use bcce_core::config::residency::base_model;
use bcce_core::document::{Document, from_yaml};
use serde_json::{Value, json};
use time::Date;

use super::edit::{Additions, edited};
use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Field};
use crate::paint::one_line;
use crate::world::World;
use crate::{figures, files};

const FIELDS: [Field; 6] = [
    ("models", "list of the models that were compared"),
    ("models[].model", "id of the model, without the prefix of a profile"),
    ("models[].state", "same, new, changed, kept, blocked or missing"),
    (
        "models[].rows",
        "rows of prices.yaml that are added for the model, with the keys of the file",
    ),
    ("models[].reason", "why a price is kept, blocked or missing, or null"),
    ("written", "true if the file was written"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// Catalog of prices: the data.json of genai-prices, or the JSON file of LiteLLM
    #[arg(value_name = "CATALOG")]
    catalog: PathBuf,
    /// Directory with models.yaml and prices.yaml, such as infra/config/dev
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Add the rows to prices.yaml; without this option, nothing is written
    #[arg(long)]
    write: bool,
    /// Model whose price was written by hand and is followed by that of the catalog; can be repeated
    #[arg(long, value_name = "ID")]
    replace: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let (models, prices) = (args.directory.join("models.yaml"), args.directory.join("prices.yaml"));
    let text = read(&prices)?;
    let file: Prices = parsed(&prices, &text)?;
    let catalog = Catalog::parse(&read(&args.catalog)?).map_err(|cause| {
        let what = format!("{} {cause}", args.catalog.display());
        Failure::usage(
            what,
            "nothing was written; give the data.json of genai-prices or the JSON file of LiteLLM",
        )
    })?;
    let models: Models = parsed(&models, &read(&models)?)?;
    let models = known(&models, &file);
    if let Some(unknown) = args.replace.iter().find(|model| !models.contains(model.as_str())) {
        let what = format!("--replace: neither models.yaml nor prices.yaml has {unknown}");
        return Err(Failure::usage(
            what,
            "nothing was written; give an id without the prefix of a profile",
        ));
    }
    let today = world.now().date();
    let changes: Vec<(&str, Change)> = models
        .iter()
        .map(|model| {
            let replaced = args.replace.contains(model);
            (model.as_str(), compare(&file, model, &catalog, today, replaced))
        })
        .collect();
    for (model, change) in changes.iter().filter(|_| !args.json) {
        writeln!(out, "{}", one_line(&line(model, change)))?;
    }
    write(&args, &prices, &text, &changes, today, out)
}

/// Returns the models that `models.yaml` calls and those that have a price, without the prefixes of profiles.
fn known(models: &Models, prices: &Prices) -> BTreeSet<String> {
    let called = models.models.values().flat_map(|model| model.targets());
    // A price belongs to the model behind an application inference profile, which only a stack knows.
    let named = called.filter(|target| region_of_profile(&target.model_id).is_none());
    let called = named.map(|target| base_model(&target.model_id).to_owned());
    called.chain(prices.models.keys().cloned()).collect()
}

fn read(path: &Path) -> Outcome<String> {
    files::text(path).map_err(|cause| {
        Failure::usage(format!("{} {cause}", path.display()), "nothing was written; check the path")
    })
}

fn parsed<T: Document>(path: &Path, text: &str) -> Outcome<T> {
    from_yaml(text).finished().map_err(|problems| {
        let lines: String = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        let what = format!("{} is not valid:{}", path.display(), lines);
        Failure::usage(what, "nothing was written; correct the file and import again")
    })
}

/// Writes the rows if the command says so, and says what was or would be written.
fn write(
    args: &Args,
    path: &Path,
    text: &str,
    changes: &[(&str, Change)],
    today: Date,
    out: &mut dyn Write,
) -> Outcome {
    let with_rows = changes.iter().filter(|(_, change)| !change.rows().is_empty());
    let additions: Additions<'_> =
        with_rows.map(|(model, change)| (*model, change.rows())).collect();
    let rows = additions.values().map(|rows| rows.len()).sum();
    let (rows, path) = (figures::plural(rows, "row"), path.display());
    // The date says that every price was compared.
    let is_checked = changes.iter().all(|(_, change)| change.is_checked());
    let edited = edited(text, &additions, is_checked.then_some(today))
        .map_err(|cause| Failure::usage(format!("{path} {cause}"), "nothing was written"))?;
    let date = |sets: &str| match is_checked {
        true => format!(" and {sets} its date to {today}"),
        false => "; its date stays, because a model is missing or blocked".to_owned(),
    };
    if !args.write {
        let exit = if additions.is_empty() { Exit::Done } else { Exit::Failed };
        if args.json {
            json::print(&as_json(changes, false), out)?;
            return Ok(exit);
        }
        writeln!(out, "nothing was written; --write adds {rows} to {path}{}", date("sets"))?;
        return Ok(exit);
    }
    std::fs::write(args.directory.join("prices.yaml"), edited).map_err(|error| {
        Failure::usage(
            format!("{path} cannot be written: {error}"),
            "check the permissions of the file",
        )
    })?;
    if args.json {
        json::print(&as_json(changes, true), out)?;
        return Ok(Exit::Done);
    }
    writeln!(out, "added {rows} to {path}{}", date("set"))?;
    Ok(Exit::Done)
}

fn as_json(changes: &[(&str, Change)], written: bool) -> Value {
    let model = |(model, change): &(&str, Change)| {
        let (state, reason) = match change {
            Change::Same => ("same", None),
            Change::New(_) => ("new", None),
            Change::Changed { .. } => ("changed", None),
            Change::Kept { before, listed } => ("kept", Some(difference(before, listed))),
            Change::Blocked(reason) => ("blocked", Some(reason.clone())),
            Change::Missing(reason) => ("missing", Some(reason.clone())),
        };
        json!({ "model": model, "state": state, "rows": change.rows(), "reason": reason })
    };
    json!({ "models": changes.iter().map(model).collect::<Vec<_>>(), "written": written })
}

fn line(model: &str, change: &Change) -> String {
    match change {
        Change::Same => format!("same     {model}"),
        Change::New(rows) => format!("new      {model}: {}", described(rows)),
        Change::Changed { before, rows } => {
            let after = &rows[0];
            format!("changed  {model}: {} from {}", difference(before, after), after.from)
        }
        Change::Kept { before, listed } => format!(
            "kept     {model}: {}; the row was written by hand, and --replace {model} adds that of the catalog",
            difference(before, listed)
        ),
        Change::Blocked(reason) => format!("blocked  {model} {reason}"),
        Change::Missing(reason) => format!("missing  {model} {reason}"),
    }
}

fn described(rows: &[PriceRow]) -> String {
    let row = |row: &PriceRow| {
        let rates = rates(&row.price).map(|(name, rate)| format!("{name} {rate}"));
        format!("{} from {}", rates.join(", "), row.from)
    };
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

fn rates(price: &Price) -> [(&'static str, String); 5] {
    [
        ("input", price.input),
        ("output", price.output),
        ("cache read", price.cache_read),
        ("5-minute write", price.cache_write_5m),
        ("1-hour write", price.cache_write_1h),
    ]
    .map(|(name, rate)| (name, rate.normalize().to_string()))
}

/// Describes what differs between two rows: `output 0.5 -> 0.6`.
fn difference(before: &PriceRow, after: &PriceRow) -> String {
    let both = rates(&before.price).into_iter().zip(rates(&after.price));
    let changed = both.filter(|((_, before), (_, after))| before != after);
    let mut parts: Vec<String> =
        changed.map(|((name, before), (_, after))| format!("{name} {before} -> {after}")).collect();
    if before.long_prompt != after.long_prompt {
        parts.push("other prices of long prompts".to_owned());
    }
    if before.regional_factor != after.regional_factor {
        let factor = |row: &PriceRow| {
            row.regional_factor.map_or("that of the file".to_owned(), |f| f.to_string())
        };
        parts.push(format!("regional factor {} -> {}", factor(before), factor(after)));
    }
    if parts.is_empty() { format!("the same price from {}", after.from) } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_what_became_of_each_model() {
        let changes = [("a", Change::Same), ("b", Change::Missing("is not in the catalog".into()))];
        let json = as_json(&changes, false);
        assert_eq!(json::undocumented(&json, &[&FIELDS]), [""; 0]);
        let same = json!({ "model": "a", "state": "same", "rows": [], "reason": null });
        assert_eq!(json["models"][0], same);
        assert_eq!(json["models"][1]["reason"], "is not in the catalog");
    }
}
