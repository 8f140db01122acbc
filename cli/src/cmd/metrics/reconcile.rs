use std::io::Write;
use std::path::{Path, PathBuf};

use bcce_core::base::error::Fault;
use bcce_core::config::documents::parameter_name;
use bcce_core::config::pricing::Prices;
use bcce_core::document::from_yaml;
use bcce_core::io::reader::follow_pointer;
use bcce_core::ports::GetParameters;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure, Outcome};
use crate::figures;
use crate::json::{self, Field};
use crate::metrics::period::Period;
use crate::metrics::print;
use crate::metrics::table::{Row, Table, share};
use crate::metrics::usage_of;
use crate::paint::{Ink, Line, span};
use crate::reconcile::bill::{Bill, Own};
use crate::reconcile::counted::Counted;
use crate::reconcile::differences::{self, Differences, Reason};
use crate::reconcile::report;
use crate::stack::Stack;
use crate::world::World;

const FIELDS: [Field; 9] = [
    ("version", "1"),
    ("environment", "the environment"),
    ("from, to", "first and last day of the report, in UTC"),
    ("bill_usd, ledger_usd", "cost of the tokens of the stack in the bill and in the ledger"),
    (
        "differences",
        "list of explained differences: reason, about and usd, the bill minus the ledger",
    ),
    ("unexplained", "list of differences without a reason: about and usd"),
    ("unexplained_usd", "sum of the unexplained amounts, without their signs"),
    ("agrees", "true if at most 0.1 % of the bill is unexplained"),
    ("has_principals", "true if the report tells the calls of the stack from those of others"),
];

#[derive(Debug, clap::Args)]
#[command(after_long_help = json::fields("Prints an object.", &[&FIELDS]))]
pub struct Args {
    /// File of a Cost and Usage Report 2.0: CSV, CSV in gzip, or Parquet; can be repeated for the files of one export
    #[arg(long, value_name = "FILE", required = true)]
    cur: Vec<PathBuf>,
    /// Text in the ARNs of principals that belong to the stack, in addition to the stack's own roles; can be repeated
    #[arg(long, value_name = "TEXT")]
    principal: Vec<String>,
    /// Print JSON, with exact amounts
    #[arg(long)]
    json: bool,
}

/// The largest share of the bill that may stay unexplained.
const MOST_UNEXPLAINED: Decimal = Decimal::from_parts(1, 0, 0, false, 3);

pub async fn run(args: Args, world: &World, out: &mut dyn Write) -> Outcome {
    let stack = Stack::find(world).await?;
    let own = own(&stack, &args.principal);
    let bill = read(&args.cur, &own)?;
    let Some((from, to)) = bill.days else {
        return Err(without_lines(&bill, &own));
    };
    let period = Period { from, to };
    let days = usage_of(&stack.ledger, period).await?;
    let prices = prices(&stack).await?;
    let counted = Counted::of(&days, &prices);
    let found = differences::of(&bill, &counted, prices.regional_factor);
    let compared = Compared {
        environment: &world.environment,
        period,
        bill: &bill,
        counted: &counted,
        found: &found,
    };
    if args.json {
        json::print(&compared.json(), out)?;
    } else {
        print::lines(&compared.text(), world, out)?;
    }
    Ok(if compared.agrees() { Exit::Done } else { Exit::Failed })
}

/// Returns what tells the calls of the stack from those of others. The roles of the stack are named after it.
fn own(stack: &Stack, principals: &[String]) -> Own {
    let arn = &stack.outputs.workflow_arn;
    let account = arn.split(':').nth(4).unwrap_or_default().to_owned();
    let name = stack.outputs.dispatch_function.trim_end_matches("-dispatch");
    let roles = format!("/{name}-");
    Own { account, principals: principals.iter().cloned().chain([roles]).collect() }
}

fn read(files: &[PathBuf], own: &Own) -> Outcome<Bill> {
    let mut bill = Bill::default();
    for file in files {
        report::read(file, &mut |line| bill.add(&line, own))
            .map_err(|cause| unreadable(file, &cause))?;
    }
    Ok(bill)
}

fn unreadable(file: &Path, cause: &str) -> Failure {
    let what = format!("--cur: {} {cause}", file.display());
    Failure::usage(what, "nothing was compared; docs/costs.md says how to export the report")
}

/// Returns the failure for a report that has no line to compare.
fn without_lines(bill: &Bill, own: &Own) -> Failure {
    let accounts: Vec<&str> = bill.accounts.iter().map(String::as_str).collect();
    let what = match &accounts[..] {
        [] => "--cur: the report has no usage of Amazon Bedrock".to_owned(),
        accounts => format!(
            "--cur: the report has usage of Amazon Bedrock in the account {}, and the stack is in {}",
            accounts.join(", "),
            own.account
        ),
    };
    Failure::usage(what, "nothing was compared; --env and AWS_PROFILE select the stack")
}

/// Reads the price file of the stack.
async fn prices(stack: &Stack) -> Outcome<Prices> {
    let name = parameter_name(&stack.environment, "prices");
    let mut values = stack.parameters.parameters(std::slice::from_ref(&name)).await?;
    let value = values.remove(&name).ok_or_else(|| missing(&name))?;
    let body = follow_pointer(&stack.store, &stack.outputs.artifact_bucket, &value.value).await?;
    let read = body.and_then(|body| from_yaml::<Prices>(&body).finished());
    Ok(read.map_err(|problems| missing(&format!("{name}: {problems}")))?)
}

fn missing(what: &str) -> Fault {
    Fault::internal(format!("the SSM parameter {what} is missing or invalid"))
}

/// The bill and the ledger, compared.
struct Compared<'a> {
    environment: &'a str,
    period: Period,
    bill: &'a Bill,
    counted: &'a Counted,
    found: &'a Differences,
}

impl Compared<'_> {
    /// Returns true if at most 0.1 % of the bill is unexplained.
    fn agrees(&self) -> bool {
        self.found.residue() <= self.bill.total() * MOST_UNEXPLAINED
    }

    fn text(&self) -> Vec<Line> {
        let Self { environment, period, .. } = self;
        let mut text = vec![
            vec![span(Ink::Bold, format!("Bill and ledger of {environment}, {period}"))],
            Vec::new(),
        ];
        let mut rows = vec![
            Row::plain([
                "bill".into(),
                "tokens of the stack".into(),
                figures::usd(self.bill.total()),
            ]),
            Row::plain(["ledger".into(), "the same".into(), figures::usd(self.counted.total())]),
        ];
        for difference in &self.found.named {
            let amount = signed(difference.usd);
            rows.push(Row::plain([
                described(difference.reason).into(),
                difference.about.clone(),
                amount,
            ]));
        }
        for (about, usd) in &self.found.unexplained {
            rows.push(Row::plain(["unexplained".into(), about.clone(), signed(*usd)]));
        }
        let headings = ["", "about", "amount"].map(str::to_owned).into();
        text.extend(Table { headings, texts: 2, rows }.lines(None));
        let percent = share(self.found.residue(), self.bill.total()) * 100.0;
        let verdict = if self.agrees() { Ink::Green } else { Ink::Red };
        let residue = figures::usd(self.found.residue());
        text.extend([
            Vec::new(),
            vec![span(
                verdict,
                format!("Unexplained: {residue}, {percent:.3} % of the bill (limit: 0.1 %)."),
            )],
        ]);
        if !self.bill.has_principals {
            let note = "The report has no IAM principals, so calls of others in the account count as those of the stack.";
            text.push(vec![span(Ink::Yellow, note)]);
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "version": 1,
            "environment": self.environment,
            "from": self.period.from.to_string(),
            "to": self.period.to.to_string(),
            "bill_usd": self.bill.total().normalize(),
            "ledger_usd": self.counted.total().normalize(),
            "differences": self.found.named,
            "unexplained": self
                .found
                .unexplained
                .iter()
                .map(|(about, usd)| json!({ "about": about, "usd": usd.normalize() }))
                .collect::<Vec<_>>(),
            "unexplained_usd": self.found.residue().normalize(),
            "agrees": self.agrees(),
            "has_principals": self.bill.has_principals,
        })
    }
}

/// Formats a difference: `+$0.0100`, `-$0.0020`.
fn signed(usd: Decimal) -> String {
    let sign = if usd < Decimal::ZERO { "-" } else { "+" };
    format!("{sign}{}", figures::usd(usd.abs()))
}

fn described(reason: Reason) -> &'static str {
    match reason {
        Reason::LostInFlight => "lost or cut off",
        Reason::ServiceTier => "service tier",
        Reason::RegionalFactor => "regional factor",
        Reason::OneHourCacheWrites => "1-hour cache writes",
        Reason::Batch => "batch",
        Reason::LongPrompts => "long prompts",
        Reason::Price => "price",
        Reason::ForeignCaller => "foreign caller",
        Reason::Guardrails => "guardrails",
        Reason::OtherLines => "other lines",
    }
}
