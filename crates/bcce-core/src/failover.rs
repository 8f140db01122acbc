//! Which target a step calls next.

pub mod breaker; // a target's circuit breaker
pub mod decision; // the router's answer in words, as it is recorded
pub mod latency; // how long targets take to their first token
pub mod route; // what the plan freezes of a step's routing
pub mod router; // the pure decision: targets, wait or stop
