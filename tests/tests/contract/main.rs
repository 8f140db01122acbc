//! Keeps the names in step: one name goes through folder, binary, resource, role, substitution and state, and the
//! state machines know no error that the code does not.

mod asl;
mod companions;
mod grants;
mod layers;
mod matrix;
mod names;
mod nesting;
mod partitions;
mod protection;
mod retries;
mod rules;
mod security;
mod supply;
mod template;
