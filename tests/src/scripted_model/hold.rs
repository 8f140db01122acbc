//! Answers that are held until a test releases them by their name: what happens to a run while its model still
//! answers can be tested on a machine of any speed.

use std::collections::HashSet;
use std::sync::Mutex;

#[derive(Debug, Default)]
pub struct Holds {
    released: Mutex<HashSet<String>>,
}

impl Holds {
    /// Releases `name` for good: what comes later under this name is not held at all.
    pub fn release(&self, name: &str) {
        self.names().insert(name.to_owned());
    }

    pub fn is_released(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.released.lock().expect("nothing panics with the names in hand")
    }
}
