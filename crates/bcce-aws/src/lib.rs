//! The AWS adapters of BCCE's [ports](bcce_core::ports), and the parts that start a function.

#[cfg(feature = "signed")]
pub mod account; // the caller, the caller's permissions, and endpoints of VPCs
#[cfg(feature = "bedrock")]
pub mod bedrock; // CallModel, through ConverseStream with our own timeouts
#[cfg(feature = "bulk")]
pub mod bulk; // StartJob, FindJob, ReadJob, StopJob
#[cfg(feature = "chain")]
pub mod chain; // the SDK's default credential chain, for the CLI
#[cfg(feature = "control")]
pub mod control; // DescribeModel, DescribeProfile, ReadAccess and others, through Bedrock's control plane
mod clock; // the system's clock
#[cfg(feature = "dynamodb")]
pub mod dynamodb; // the ledger: records of runs and batches, progress, slots, the call log
mod environment; // environment variables
mod fault; // SDK errors, as Bcce.Internal
#[cfg(feature = "dynamodb")]
pub mod health; // the ledger: breakers, latencies and warm caches of targets, the call log
mod http; // the HTTP client that all services share
#[cfg(feature = "kms")]
pub mod kms; // SignDigest, VerifyDigest
#[cfg(feature = "lambda")]
pub mod lambda; // the inboxes' event source mappings
#[cfg(any(
    feature = "bulk",
    feature = "dynamodb",
    feature = "lambda",
    feature = "logs",
    feature = "sns",
    feature = "sqs",
    feature = "ssm"
))]
mod lazily; // a client that is created on its first use
#[cfg(feature = "quotas")]
pub mod quotas; // ReadQuotas, through Service Quotas
#[cfg(any(feature = "control", feature = "quotas"))]
mod regional; // a client for each region
#[cfg(feature = "logs")]
pub mod logs; // log lines of functions, for the CLI
#[cfg(feature = "s3")]
pub mod s3; // GetObject, PutOnce, ListObjects
mod sdk_config; // the configuration of a function's clients
#[cfg(feature = "serve")]
mod serve; // a handler on the Lambda Runtime API
#[cfg(feature = "sfn")]
pub mod sfn; // StartRun, StartBatch, and the CLI's operations on executions
#[cfg(feature = "signed")]
pub mod signed; // signed calls of services without an SDK client here
#[cfg(feature = "sns")]
pub mod sns; // Publish
#[cfg(feature = "sqs")]
pub mod sqs; // SendRequest, DeadLetter, Postpone, SendAgain, and the CLI's operations on queues
#[cfg(feature = "ssm")]
pub mod ssm; // GetParameters, ListParameters, and writing parameters

#[cfg(feature = "signed")]
pub mod watch; // alarms, metrics and rules
#[cfg(feature = "serve")]
pub mod xray; // SendSpan, through the X-Ray daemon

pub use aws_types::SdkConfig;
pub use clock::SystemClock;
pub use environment::{StartError, optional_number, optional_variable, variable};
pub use http::client as http_client;
pub use sdk_config::{impatient, sdk_config, sleep_impl};
#[cfg(feature = "serve")]
pub use serve::{Invocation, block_on, serve};
