//! Tests of the deployed stack: the real template and the real binaries on the emulator, with the scripted model in
//! place of Bedrock.
//!
//! `make emulated` starts the suite on a local stack of its own, under `stack.py run`, which exports the addresses of
//! the stack. The tests share the stack and run in parallel, so each one uses its own request ids.

mod allowed;
mod bad_input;
mod budgets;
mod bulk_jobs;
mod command;
mod exactly_once;
mod explained;
mod fan_out;
mod finalized;
mod kept_whole;
mod models;
mod listed;
mod neighbours;
mod operated;
mod page;
mod prompt_cache;
mod rejected;
mod responses;
mod review;
mod sealed;
mod tenants;
mod terminal;
mod traces;
mod unattended;
mod untrusted;
mod webhooks;
mod workflow_of_ones_own;
