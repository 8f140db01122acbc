//! SSM parameters.

use std::collections::BTreeMap;

use crate::base::error::Fault;

/// An SSM parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub value: String,
    /// A number that grows with each write, also if the parameter is deleted and created again.
    pub revision: u64,
}

pub trait GetParameters {
    /// Reads the parameters `names`. Returns those that exist, by name.
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, Parameter>, Fault>;
}

pub trait ListParameters {
    /// Reads the parameters below `path`, by name.
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault>;
}

pub trait PutParameter {
    /// Writes the value of a parameter, which SSM must accept (see [`crate::config::documents`]).
    async fn put_parameter(&self, name: &str, value: &str) -> Result<(), Fault>;
}
