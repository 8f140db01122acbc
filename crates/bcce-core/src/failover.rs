//! Chooses the target that a step calls next.

pub mod breaker; // a target's circuit breaker
pub mod decision; // an answer of the router, as it is recorded
pub mod latency; // the times of targets to their first token
pub mod route; // a step's routing, as the plan stores it
pub mod router; // the pure decision: targets, wait or stop
