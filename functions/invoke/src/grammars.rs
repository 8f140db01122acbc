//! Remembers for which targets the service has compiled a schema, and which schemas it refuses.
//!
//! The service compiles a schema to a grammar at its first call, which may take minutes in which it sends nothing, and
//! keeps the grammar for a day. So the first call with a schema may be silent for longer than others, and its silence
//! says nothing of the target. A schema that was refused is not sent again.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::target::Target;
use bcce_core::failover::breaker::target_key;
use bcce_core::io::shared_breakers::SharedBreakers;
use bcce_core::ports::ReadCaches;
use serde_json::Value;
use time::OffsetDateTime;

/// Time that the service keeps a grammar, less an hour, because a compilation may be noted late.
pub(crate) const KEPT: Duration = Duration::from_secs(23 * 3_600);
/// Times that this function relies on what it read: of a target that has the grammar, and of one that has not.
const RELIED_ON: Duration = Duration::from_secs(3_600);
const LOOKED_AT: Duration = Duration::from_secs(60);
/// Stands in the place of a target: no target takes the schema.
const REFUSED: &str = "refused";

/// Holds what this function knows, by schema.
#[derive(Default)]
pub struct Grammars(RefCell<HashMap<String, Known>>);

struct Known {
    /// Keys of targets that have the grammar, or [`REFUSED`].
    targets: BTreeSet<String>,
    read_at: OffsetDateTime,
}

/// A schema, as the ledger knows it among what targets have in their caches, and a target.
pub(crate) type Key = (String, String);

/// Returns the key of a schema on one target.
pub(crate) fn key(schema: &Value, target: &Target) -> Key {
    (digest(schema), target_key(target))
}

/// Returns the key of a schema that the service refuses.
pub(crate) fn refusal(schema: &Value) -> Key {
    (digest(schema), REFUSED.to_owned())
}

fn digest(schema: &Value) -> String {
    format!("schema-{}", sha256_hex(schema.to_string().as_bytes()))
}

impl Grammars {
    /// Returns whether `key` was noted, here or by another function. Asks the ledger where this one does not know; if
    /// that is out of reach, the schema counts as new.
    pub async fn has<L: ReadCaches>(
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

    /// Notes `key`. Returns whether this is new to the ledger.
    pub fn learn(&self, (schema, target): &Key, now: OffsetDateTime) -> bool {
        let mut known = self.0.borrow_mut();
        let new = || Known { targets: BTreeSet::new(), read_at: now };
        known.entry(schema.clone()).or_insert_with(new).targets.insert(target.clone())
    }
}
