//! Sums the lines of Amazon Bedrock in a report.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use time::Date;
use time::macros::format_description;

use super::model::ModelName;
use super::report::Line;
use super::usage_type::{UsageType, region};
use super::{Amount, Amounts, Key};

/// The principals and accounts whose calls are those of the stack.
#[derive(Clone, Debug)]
pub struct Own {
    /// The account of the stack.
    pub account: String,
    /// Texts of which a principal's ARN has one, such as `/bcce-dev-`.
    pub principals: Vec<String>,
}

impl Own {
    /// Returns true if the stack has made the call. A report without principals does not say whose calls it lists.
    fn has_made(&self, principal: &str) -> bool {
        principal.is_empty() || self.principals.iter().any(|own| principal.contains(own))
    }
}

/// The lines of Bedrock, summed.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// The first and the last day with lines of Bedrock in the account of the stack.
    pub days: Option<(Date, Date)>,
    /// The tokens of Claude that the stack has used.
    pub own: Amounts,
    /// The cost of callers that are not the stack, by principal.
    pub foreign: BTreeMap<String, Decimal>,
    /// The cost of guardrails.
    pub guardrails: Decimal,
    /// The cost of further lines, by usage type.
    pub other: BTreeMap<String, Decimal>,
    /// The accounts that have lines of Bedrock.
    pub accounts: BTreeSet<String>,
    /// True if at least one line names its principal.
    pub has_principals: bool,
}

impl Bill {
    /// Adds a line. Lines of other services, accounts and kinds of charges are left out.
    ///
    /// # Errors
    /// A message if a column of a line of Bedrock cannot be read.
    pub fn add(&mut self, line: &Line, own: &Own) -> Result<(), String> {
        let product = line.get("product");
        let is_bedrock = |text: &str| text.to_lowercase().contains("bedrock");
        if !is_bedrock(line.get("line_item_product_code")) && !is_bedrock(product)
            || line.get("line_item_line_item_type") != "Usage"
        {
            return Ok(());
        }
        let account = line.get("line_item_usage_account_id");
        self.accounts.insert(account.to_owned());
        if account != own.account {
            return Ok(());
        }
        let cost = line.number("line_item_unblended_cost")?;
        let day = day(line.get("line_item_usage_start_date"))?;
        self.days = Some(self.days.map_or((day, day), |(from, to)| (from.min(day), to.max(day))));
        let usage_type = line.usage_type();
        let principal = line.get("line_item_iam_principal");
        self.has_principals |= !principal.is_empty();
        if usage_type.to_lowercase().contains("guardrail") {
            self.guardrails += cost;
        } else if !own.has_made(principal) {
            *self.foreign.entry(principal.to_owned()).or_default() += cost;
        } else if let Some((key, tokens)) = key(line, day)? {
            self.own.entry(key).or_default().add(Amount { tokens, cost });
        } else {
            *self.other.entry(usage_type.to_owned()).or_default() += cost;
        }
        Ok(())
    }

    /// Returns the cost of the stack's tokens in USD.
    pub fn total(&self) -> Decimal {
        self.own.values().map(|amount| amount.cost).sum()
    }
}

/// Returns the key and the tokens of a line. Returns `None` if the line is not one of tokens of Claude.
fn key(line: &Line, day: Date) -> Result<Option<(Key, Decimal)>, String> {
    let Some(found) = UsageType::parse(line.usage_type()) else { return Ok(None) };
    let Some(model) = found.model.or_else(|| ModelName::parse(line.get("product"))) else {
        return Ok(None);
    };
    let unit = line.get("pricing_unit").to_lowercase();
    let tokens_per_unit = match () {
        () if unit.contains("1k") => 1_000,
        () if unit.contains("1m") || unit.contains("million") => 1_000_000,
        () => found.tokens_per_unit,
    };
    let listed = Some(line.get("product_region_code")).filter(|region| !region.is_empty());
    let code = found.region_code;
    let region = listed.or_else(|| region(&code)).unwrap_or(&code).to_owned();
    let tokens = line.number("line_item_usage_amount")? * Decimal::from(tokens_per_unit);
    let (tier, kind) = (found.tier.to_owned(), found.kind);
    let (is_global, is_long) = (found.is_global, found.is_long);
    Ok(Some((Key { day, region, model, tier, is_global, is_long, kind }, tokens)))
}

fn day(text: &str) -> Result<Date, String> {
    let day = text
        .get(..10)
        .and_then(|day| Date::parse(day, format_description!("[year]-[month]-[day]")).ok());
    day.ok_or_else(|| {
        format!("line_item_usage_start_date is `{text}`, which does not begin with a day")
    })
}
