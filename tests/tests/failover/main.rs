//! Tests of failover on the deployed stack: each fault that public fault-injection scorecards of LLM gateways list, in
//! Bedrock's terms, and breakers, strategies, residency and mixed generations.
//!
//! `make failover` starts the suite on a local stack of its own. The waits have their real length.

mod all_down;
mod breakers;
mod flapping;
mod generations;
mod outage;
mod own_limits;
mod residency;
mod scorecard;
mod strategies;
