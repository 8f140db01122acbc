//! The objects of a run by the keys that they have below its prefix, also those that are packed into the parts of a
//! batch.

use std::collections::BTreeSet;

use bcce_core::base::error::Fault;
use bcce_core::ports::{GetObject, ListObjects};

use super::{Packed, PackedAttempt};
use crate::references::placed_run;

/// The objects of a run: those in the bucket below its prefix, and those of its packed attempts. If an object is in
/// both, for example because a retry has copied it, the packed one is returned.
pub struct RunObjects<'a, S> {
    pub store: &'a S,
    pub packed: &'a Packed,
}

impl<S: GetObject> GetObject for RunObjects<'_, S> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        let packed = self.packed.0.iter().rev().find_map(|attempt| attempt.object(key));
        match packed {
            Some(body) => Ok(Some(body.to_vec())),
            None => self.store.get(key).await,
        }
    }
}

impl<S: ListObjects> ListObjects for RunObjects<'_, S> {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let mut keys: BTreeSet<String> = self.store.list(prefix).await?.into_iter().collect();
        let packed = self.packed.0.iter().flat_map(PackedAttempt::keys);
        keys.extend(packed.filter(|key| key.starts_with(prefix)));
        Ok(keys.into_iter().collect())
    }
}

impl PackedAttempt {
    fn object(&self, key: &str) -> Option<&[u8]> {
        let run = placed_run(&self.place);
        match &self.sealed {
            Some(sealed) if key == run.manifest_key() => Some(&sealed.bytes),
            _ => self.stored.as_ref()?.object(key.strip_prefix(&run.prefix())?),
        }
    }

    fn keys(&self) -> Vec<String> {
        let run = placed_run(&self.place);
        let names = self.stored.iter().flat_map(|stored| stored.objects.keys());
        let objects = names.map(|name| format!("{}{name}", run.prefix()));
        objects.chain(self.sealed.iter().map(|_| run.manifest_key())).collect()
    }
}
