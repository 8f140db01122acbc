//! Names the differences between the bill and the ledger.
//!
//! Each step explains a part of the difference and removes it from both sides: tokens that the bill has under another
//! kind, tier or route; rates that differ; tokens of calls whose usage is unknown. What is left is unexplained.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Serialize;

use super::bill::Bill;
use super::counted::{Counted, Place};
use super::{Amount, Key, Kind};

/// The largest relative difference of two rates that are the same. Reports round the cost of a line.
const SAME_RATE: Decimal = Decimal::from_parts(5, 0, 0, false, 4);

/// The reason of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Calls whose usage is unknown: lost in flight, or cut off.
    LostInFlight,
    /// Tokens that another service tier has served than the ledger says.
    ServiceTier,
    /// Tokens at the rate of geographic instead of global profiles, or the reverse.
    RegionalFactor,
    /// Writes to the cache that are billed for another time than the ledger says.
    OneHourCacheWrites,
    /// Records of bulk jobs that are billed as calls, or the reverse.
    Batch,
    /// Tokens at the rate of long prompts instead of short ones, or the reverse.
    LongPrompts,
    /// A rate that `prices.yaml` does not have for that day.
    Price,
    /// Calls that another principal has made.
    ForeignCaller,
    /// Guardrails, which the ledger does not count.
    Guardrails,
    /// Further lines of Bedrock.
    OtherLines,
}

/// A difference with its reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    pub reason: Reason,
    /// The subject: a day, region and model, a principal or a usage type.
    pub about: String,
    /// The cost in the bill minus that in the ledger, in USD.
    pub usd: Decimal,
}

/// All differences, and what they do not explain.
#[derive(Clone, Debug, Default)]
pub struct Differences {
    pub named: Vec<Difference>,
    /// Differences without a reason, by day, region and model: the bill minus the ledger in USD.
    pub unexplained: BTreeMap<String, Decimal>,
}

impl Differences {
    /// Returns the sum of the unexplained amounts, each as a positive number.
    pub fn residue(&self) -> Decimal {
        self.unexplained.values().map(Decimal::abs).sum()
    }
}

/// The two sides of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Sides {
    bill: Amount,
    ledger: Amount,
}

impl Sides {
    /// Returns the tokens by which the bill exceeds the ledger.
    fn excess(&self) -> Decimal {
        self.bill.tokens - self.ledger.tokens
    }
}

/// Removes tokens from an amount, and returns their cost.
fn take(amount: &mut Amount, tokens: Decimal) -> Decimal {
    if amount.tokens.is_zero() {
        return Decimal::ZERO;
    }
    let cost = amount.cost * tokens / amount.tokens;
    amount.tokens -= tokens;
    amount.cost -= cost;
    cost
}

/// Names the differences between a bill and the ledger. `regional_factor` is that of the price file.
pub fn of(bill: &Bill, counted: &Counted, regional_factor: Decimal) -> Differences {
    let mut sides: BTreeMap<Key, Sides> = BTreeMap::new();
    for (key, amount) in &bill.own {
        sides.entry(key.clone()).or_default().bill.add(*amount);
    }
    for (key, amount) in &counted.amounts {
        sides.entry(key.clone()).or_default().ledger.add(*amount);
    }
    let mut found: BTreeMap<(Reason, String), Decimal> = BTreeMap::new();
    moves(&mut sides, &mut found);
    rates(&mut sides, regional_factor, &mut found);
    let mut differences = Differences::default();
    unknown(&mut sides, counted, &mut found, &mut differences.unexplained);
    for (principal, cost) in &bill.foreign {
        *found.entry((Reason::ForeignCaller, principal.clone())).or_default() += cost;
    }
    if !bill.guardrails.is_zero() {
        found.insert((Reason::Guardrails, "all guardrails".to_owned()), bill.guardrails);
    }
    for (usage_type, cost) in bill.other.iter().filter(|(_, cost)| !cost.is_zero()) {
        *found.entry((Reason::OtherLines, usage_type.clone())).or_default() += cost;
    }
    differences.named = found
        .into_iter()
        .map(|((reason, about), usd)| Difference { reason, about, usd: usd.normalize() })
        .collect();
    differences
}

/// Explains tokens that the ledger has under one key and the bill under a key that differs in one property. Keys with
/// the same number of tokens come first: another key may have more tokens for another reason.
fn moves(sides: &mut BTreeMap<Key, Sides>, found: &mut BTreeMap<(Reason, String), Decimal>) {
    let mut pairs = pairs(sides);
    let is_exact = |(from, to, _): &(Key, Key, Reason)| -sides[from].excess() == sides[to].excess();
    pairs.sort_by_key(|pair| !is_exact(pair));
    for (from, to, reason) in pairs {
        let (from, to) = (&from, &to);
        let tokens = (-sides[from].excess()).min(sides[to].excess());
        if tokens > Decimal::ZERO {
            let counted = sides.get_mut(from).map(|from| take(&mut from.ledger, tokens));
            let billed = sides.get_mut(to).map(|to| take(&mut to.bill, tokens));
            let usd = billed.unwrap_or_default() - counted.unwrap_or_default();
            *found.entry((reason, place(from))).or_default() += usd;
        }
    }
}

/// Returns the pairs of keys of which the ledger has more tokens under the first and the bill under the second.
fn pairs(sides: &BTreeMap<Key, Sides>) -> Vec<(Key, Key, Reason)> {
    let with = |is: fn(Decimal) -> bool| {
        let keys = sides.iter().filter(move |(_, sides)| is(sides.excess()));
        keys.map(|(key, _)| key)
    };
    let more: Vec<&Key> = with(|excess| excess > Decimal::ZERO).collect();
    let less = with(|excess| excess < Decimal::ZERO);
    let pair = |from: &Key, to: &Key| Some((from.clone(), to.clone(), moved(from, to)?));
    less.flat_map(|from| more.iter().filter_map(move |to| pair(from, to))).collect()
}

/// Returns the reason why tokens that the ledger has under `from` may be billed under `to`. The keys differ in one
/// property.
fn moved(from: &Key, to: &Key) -> Option<Reason> {
    let same = Key {
        tier: from.tier.clone(),
        is_global: from.is_global,
        is_long: from.is_long,
        kind: from.kind,
        ..to.clone()
    };
    let is_write = |key: &Key| matches!(key.kind, Kind::CacheWrite5m | Kind::CacheWrite1h);
    let differs = [
        from.tier != to.tier,
        from.is_global != to.is_global,
        from.is_long != to.is_long,
        from.kind != to.kind,
    ];
    match differs {
        _ if same != *from => None,
        [true, false, false, false] if [from, to].iter().any(|key| key.tier == "batch") => {
            Some(Reason::Batch)
        }
        [true, false, false, false] => Some(Reason::ServiceTier),
        [false, true, false, false] => Some(Reason::RegionalFactor),
        [false, false, true, false] => Some(Reason::LongPrompts),
        [false, false, false, true] if is_write(from) && is_write(to) => {
            Some(Reason::OneHourCacheWrites)
        }
        _ => None,
    }
}

/// Explains rates that differ for the tokens that both sides have.
fn rates(
    sides: &mut BTreeMap<Key, Sides>,
    regional_factor: Decimal,
    found: &mut BTreeMap<(Reason, String), Decimal>,
) {
    for (key, sides) in sides {
        let tokens = sides.bill.tokens.min(sides.ledger.tokens);
        if tokens <= Decimal::ZERO {
            continue;
        }
        let (billed, counted) = (take(&mut sides.bill, tokens), take(&mut sides.ledger, tokens));
        let ratio = billed.checked_div(counted);
        let is = |factor: Decimal| {
            ratio.is_some_and(|ratio| (ratio / factor - Decimal::ONE).abs() <= SAME_RATE)
        };
        let reason = if billed == counted || is(Decimal::ONE) {
            // The rest is rounding.
            sides.bill.cost += billed - counted;
            continue;
        } else if is(regional_factor) || is(Decimal::ONE / regional_factor) {
            Reason::RegionalFactor
        } else {
            Reason::Price
        };
        *found.entry((reason, place(key))).or_default() += billed - counted;
    }
}

/// Explains tokens that only the bill has by calls whose usage is unknown. Everything else is unexplained.
fn unknown(
    sides: &mut BTreeMap<Key, Sides>,
    counted: &Counted,
    found: &mut BTreeMap<(Reason, String), Decimal>,
    unexplained: &mut BTreeMap<String, Decimal>,
) {
    for (key, sides) in sides {
        let at: Place = (key.day, key.region.clone(), key.model.clone());
        let usd = sides.bill.cost - sides.ledger.cost;
        let has_unknown = counted.unknown.contains_key(&at);
        if has_unknown && sides.excess() > Decimal::ZERO {
            *found.entry((Reason::LostInFlight, place(key))).or_default() += usd;
        } else if !usd.is_zero() {
            *unexplained.entry(place(key)).or_default() += usd;
        }
    }
}

fn place(key: &Key) -> String {
    format!("{} {} {}", key.day, key.region, key.model)
}

#[cfg(test)]
mod tests;
