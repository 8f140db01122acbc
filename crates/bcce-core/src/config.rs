//! What a platform team configures: the documents, what their values mean, and what they say of each other.

pub mod admission; // what a sender may decide
pub mod breakers; // settings of circuit breakers
pub mod configuration; // what a run of one workflow is planned by
pub mod directory; // a directory of documents, checked across its files
pub mod documents; // SSM parameters: the document itself or a pointer to S3
pub mod models; // aliases, targets, what a model takes
pub mod output; // a step's `output`
pub mod policy; // what the platform team allows
pub mod pricing; // the price file and the cost of a call
pub mod residency; // where an inference profile may reach
pub mod routing; // strategies, retries, timeouts
pub mod template; // a workflow definition
pub mod webhook; // a source of webhooks and its rules
