//! SSM parameters.

use std::collections::BTreeMap;

use crate::base::error::Fault;

pub trait GetParameters {
    /// The parameters that exist, by name.
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, String>, Fault>;
}

pub trait ListParameters {
    /// Names and values below `path`.
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault>;
}
