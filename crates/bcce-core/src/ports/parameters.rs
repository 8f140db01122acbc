//! SSM parameters.

use std::collections::BTreeMap;

use crate::base::error::Fault;

pub trait GetParameters {
    /// Reads the parameters `names`. Returns those that exist, by name.
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, String>, Fault>;
}

pub trait ListParameters {
    /// Reads the parameters below `path`, by name.
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault>;
}
