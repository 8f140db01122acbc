//! Remembers for which targets the service has compiled a schema, and which schemas it refuses.
//!
//! The service compiles a schema to a grammar at the first call with it, and keeps the grammar for a day. The
//! compilation may take minutes in which the service sends nothing. So the first call with a schema has a longer
//! timeout, and its silence is not counted against the target. A schema that was refused is not sent again.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use crate::base::digest::sha256_hex;
use crate::base::target::Target;
use crate::failover::breaker::target_key;
use crate::io::shared_breakers::SharedBreakers;
use crate::ports::ReadCaches;

/// The time for which the service keeps a grammar, less an hour, because a compilation may be recorded late.
pub(super) const KEPT: Duration = Duration::from_secs(23 * 3_600);
/// The time for which this instance relies on a reading that a target has the grammar.
const RELIED_ON: Duration = Duration::from_secs(3_600);
/// The time for which this instance relies on a reading that a target does not have the grammar.
const LOOKED_AT: Duration = Duration::from_secs(60);
/// The key that stands for all targets in the record of a schema that the service refuses.
const REFUSED: &str = "refused";

/// The schemas that this instance has read or recorded, by the digest of the schema.
#[derive(Default)]
pub struct Grammars(RefCell<HashMap<String, Known>>);

struct Known {
    /// The keys of the targets that have the grammar, and [`REFUSED`] if the service refuses the schema.
    targets: BTreeSet<String>,
    read_at: OffsetDateTime,
}

/// The key of a schema in the ledger's record of warm caches, and the key of a target.
pub(super) type Key = (String, String);

/// Returns the key of a schema on one target.
pub(super) fn key(schema: &Value, target: &Target) -> Key {
    (digest(schema), target_key(target))
}

/// Returns the key of a schema that the service refuses.
pub(super) fn refusal(schema: &Value) -> Key {
    (digest(schema), REFUSED.to_owned())
}

fn digest(schema: &Value) -> String {
    format!("schema-{}", sha256_hex(schema.to_string().as_bytes()))
}

impl Grammars {
    /// Returns true if `key` was recorded, by this instance or another one. Reads the ledger if this instance has no
    /// recent reading. If the ledger is unreachable, the schema counts as new.
    pub(super) async fn has<L: ReadCaches>(
        &self,
        health: &SharedBreakers<L>,
        (schema, target): &Key,
        now: OffsetDateTime,
    ) -> bool {
        let known = self.0.borrow().get(schema).map(|k| (k.targets.contains(target), k.read_at));
        match known {
            Some((true, read_at)) if now < read_at + RELIED_ON => return true,
            Some((false, read_at)) if now < read_at + LOOKED_AT => return false,
            _ => {}
        }
        let targets: BTreeSet<String> = health.warm(schema, now).await.into_iter().collect();
        let has = targets.contains(target);
        self.0.borrow_mut().insert(schema.clone(), Known { targets, read_at: now });
        has
    }

    /// Records `key` in this instance. Returns true if it is new, so that the ledger has to record it too.
    pub(super) fn learn(&self, (schema, target): &Key, now: OffsetDateTime) -> bool {
        let mut known = self.0.borrow_mut();
        let new = || Known { targets: BTreeSet::new(), read_at: now };
        known.entry(schema.clone()).or_insert_with(new).targets.insert(target.clone())
    }
}
