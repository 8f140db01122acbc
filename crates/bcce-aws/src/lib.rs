//! The adapters of BCCE's ports to AWS, and what a function needs to run.

#[cfg(feature = "bedrock")]
pub mod bedrock; // CallModel: ConverseStream with our own timeouts
#[cfg(feature = "bulk")]
pub mod bulk; // StartJob, ReadJob, StopJob
#[cfg(feature = "chain")]
pub mod chain; // the SDK's whole credential chain, for the CLI
mod clock; // the system's
#[cfg(feature = "dynamodb")]
pub mod dynamodb; // records of runs and batches, progress, slots; what the CLI reads of the ledger
mod environment; // a function's environment, read and checked
mod fault; // SDK errors -> Bcce.Internal
#[cfg(feature = "dynamodb")]
pub mod health; // breakers, latencies and warm caches of targets, the log of calls
mod http; // one HTTP client for every service
#[cfg(feature = "kms")]
pub mod kms; // SignDigest
#[cfg(feature = "lambda")]
pub mod lambda; // the inboxes' event source mappings
#[cfg(any(
    feature = "bulk",
    feature = "lambda",
    feature = "sns",
    feature = "sqs",
    feature = "ssm"
))]
mod lazily; // a client made when it is first used
#[cfg(feature = "s3")]
pub mod s3; // GetObject, PutOnce, ListObjects
mod sdk_config; // what the clients of a function are made from
#[cfg(feature = "serve")]
mod serve; // a handler on the Lambda Runtime API
#[cfg(feature = "sfn")]
pub mod sfn; // StartRun, and what an operator asks of executions
#[cfg(feature = "sns")]
pub mod sns; // Publish
#[cfg(feature = "sqs")]
pub mod sqs; // SendRequest, DeadLetter, Postpone, and what the CLI does with queues
#[cfg(feature = "ssm")]
pub mod ssm; // GetParameters, and writing them

pub use aws_types::SdkConfig;
pub use clock::SystemClock;
pub use environment::{StartError, optional_number, optional_variable, variable};
pub use http::client as http_client;
pub use sdk_config::{impatient, sdk_config, sleep_impl};
#[cfg(feature = "serve")]
pub use serve::{Invocation, block_on, serve};
