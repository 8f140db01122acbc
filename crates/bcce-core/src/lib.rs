//! The domain of BCCE, without IO, as a list of layers. Each module imports only the modules above it in this list. A
//! contract test checks that.

pub mod base; // errors, digests, limits, targets, tokens
pub mod document; // parsed texts: YAML, JSON, schemas, inputs, prompt templates, expressions
pub mod config; // the documents of a platform team: workflows, models, prices, policy, routing, webhooks
pub mod call; // one call of a model: its request, its answer, its attempt
pub mod failover; // the choice of the next target: breakers, latencies, the router's decision
pub mod standby; // whether targets can take calls: life cycle, access, quotas, canary calls
pub mod run; // a run of a workflow: request, plan, artifacts, manifest, notification
pub mod batch; // a manifest of items, each of which is a run
pub mod webhook; // a provider's signed call and the requests made from it
pub mod ledger; // records and keys of the DynamoDB table
pub mod ports; // interfaces to AWS services, one method each
pub mod io; // operations on ports that several functions share
#[cfg(any(test, feature = "fakes"))]
pub mod fakes; // in-memory ports, some of which fail on request
