//! Holds answers until a test releases them by name. This allows tests of events during an answer that do not depend on
//! the speed of the machine.

use std::collections::HashSet;
use std::sync::Mutex;

/// The names that tests have released.
#[derive(Debug, Default)]
pub struct Holds {
    released: Mutex<HashSet<String>>,
}

impl Holds {
    /// Releases `name` permanently. Later answers under this name are not held.
    pub fn release(&self, name: &str) {
        self.names().insert(name.to_owned());
    }

    pub fn is_released(&self, name: &str) -> bool {
        self.names().contains(name)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.released.lock().expect("no thread panics while it holds the names")
    }
}
