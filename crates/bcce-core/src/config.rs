//! The documents of a platform team: their format, the meaning of their values, and the checks within and across them.

pub mod admission; // the checks of what a sender decides
pub mod answer_age; // how long an answer may answer the same call again
pub mod breakers; // settings of circuit breakers
pub mod budgets; // how much may be spent, by whom, and in which time
pub mod cache; // the prefixes of a prompt that are cached
pub mod configuration; // the documents that a run of one workflow is planned from
pub mod directory; // a directory of documents, checked across its files
pub mod documents; // SSM parameters: the document itself or a pointer to S3
pub mod entry; // a document in the form in which a stack stores it
pub mod models; // aliases, targets, the settings that a model accepts
pub mod output; // a step's `output`
pub mod policy; // the rules of the platform team
pub mod pricing; // the price file and the cost of a call
pub mod profiles; // the inference profiles of targets
pub mod residency; // the regions that an inference profile may reach
pub mod routing; // strategies, retries, timeouts
pub mod template; // a workflow definition
pub mod webhook; // a source of webhooks and its rules
