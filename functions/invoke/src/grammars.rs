//! Schemas that the service has compiled. It compiles a schema to a grammar at its first call, which may take minutes
//! in which it sends nothing, and keeps the grammar for a day. So the first call with a schema may be silent for longer
//! than others, and its silence says nothing of the target.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use bcce_core::attempt::Target;
use bcce_core::digest::sha256_hex;
use bcce_core::health::book::Book;
use bcce_core::health::target_key;
use bcce_core::ports::ReadCaches;
use serde_json::Value;
use time::OffsetDateTime;

/// How long the service keeps a grammar, less an hour: what was noted late is not relied on.
pub(crate) const KEPT: Duration = Duration::from_secs(23 * 3_600);

/// What this function knows, by schema and target: until when the service has the grammar.
#[derive(Default)]
pub struct Grammars(RefCell<HashMap<Key, OffsetDateTime>>);

/// A schema, as the ledger knows it among what targets have in their caches, and a target.
pub(crate) type Key = (String, String);

pub(crate) fn key(schema: &Value, target: &Target) -> Key {
    (format!("schema-{}", sha256_hex(schema.to_string().as_bytes())), target_key(target))
}

impl Grammars {
    /// Asks the ledger where this function does not know; if that is out of reach, the schema counts as new.
    pub async fn is_compiled<L: ReadCaches>(
        &self,
        health: &Book<L>,
        key: &Key,
        now: OffsetDateTime,
    ) -> bool {
        if self.is_known(key, now) {
            return true;
        }
        let (schema, target) = key;
        let compiled = health.warm(schema, now).await.contains(target);
        if compiled {
            // How much longer is not known here: it is asked again after a while.
            self.0.borrow_mut().insert(key.clone(), now + Duration::from_secs(3_600));
        }
        compiled
    }

    /// Notes an answer. Returns whether the ledger has to be told.
    pub fn learn(&self, key: &Key, now: OffsetDateTime) -> bool {
        let is_news = !self.is_known(key, now);
        if is_news {
            self.0.borrow_mut().insert(key.clone(), now + KEPT);
        }
        is_news
    }

    fn is_known(&self, key: &Key, now: OffsetDateTime) -> bool {
        self.0.borrow().get(key).is_some_and(|until| *until > now)
    }
}
