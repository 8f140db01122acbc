//! The deployed stack: the real template and the real binaries on the emulator, a scripted model behind
//! Bedrock's endpoint. Runs under `stack.py run`, which exports where everything is. The tests share
//! one stack and run side by side, so each uses request ids of its own.

mod allowed;
mod bad_input;
mod bulk_jobs;
mod command;
mod exactly_once;
mod explained;
mod fan_out;
mod finalized;
mod kept_whole;
mod neighbours;
mod operated;
mod page;
mod rejected;
mod review;
mod sealed;
mod tenants;
mod terminal;
mod unattended;
mod untrusted;
mod webhooks;
mod workflow_of_ones_own;
