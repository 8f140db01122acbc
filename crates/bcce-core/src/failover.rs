//! Which target a step calls next.

pub mod breaker; // a target's circuit breaker
pub mod decision; // an answer of the router, as it is recorded
pub mod latency; // how long targets take to their first token
pub mod route; // a step's routing, frozen by the plan
pub mod router; // the pure decision: targets, wait or stop
