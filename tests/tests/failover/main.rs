//! Every fault that the public fault-injection scorecards of LLM gateways know, in Bedrock's terms, against
//! the deployed stack: `make failover`. The waits are real ones.

mod all_down;
mod breakers;
mod flapping;
mod generations;
mod outage;
mod own_limits;
mod residency;
mod scorecard;
mod strategies;
