//! Contract tests: they compare the templates, the state machines, the documentation, the samples and the code, which
//! refer to each other by names, limits and permissions.
//!
//! They need no stack and run with `make offline` and `make check`.

mod alarms;
mod asl;
mod companions;
mod grants;
mod layers;
mod matrix;
mod names;
mod nesting;
mod partitions;
mod platform;
mod protection;
mod retries;
mod rules;
mod security;
mod signals;
mod standby;
mod supply;
mod targets;
mod template;
mod traces;
