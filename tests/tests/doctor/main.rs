//! Plants faults in the deployed stack, one after the other. `bcce doctor` must find each with the right state and the
//! right remedy, and must find nothing in a healthy stack.
//!
//! `make doctor` starts the suite on a local stack of its own. The faults apply to the whole stack, so one test runs at a
//! time.

mod caller;
mod canary;
mod configuration;
mod consent;
mod found;
mod healthy;
mod ledger;
mod many;
mod resources;
mod targets;
