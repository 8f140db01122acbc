//! The domain of BCCE, free of IO, in layers. Each module imports only those above it; a contract test holds that.

pub mod base; // errors, digests, limits, targets, tokens
pub mod document; // texts as values: YAML, JSON, schemas, inputs, prompt templates, expressions
pub mod config; // what a platform team writes: workflows, models, prices, policy, routing, webhooks
pub mod call; // one call of a model: its request, its answer, its attempt
pub mod failover; // which target next: breakers, latencies, the router's decision
pub mod run; // a run of a workflow: request, plan, artifacts, manifest, notification
pub mod batch; // a manifest of items, each of which is a run
pub mod webhook; // a provider's signed call and the requests that it becomes
pub mod ledger; // records and keys of the DynamoDB table
pub mod ports; // what touches the world, one method each
pub mod io; // what is done through ports and is the same in several functions
#[cfg(any(test, feature = "fakes"))]
pub mod fakes; // in-memory ports, some of which fail on request
