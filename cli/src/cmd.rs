//! A verb each: `Args`, and `run(args, world, out)` that returns how the process ends.

pub mod diff;
pub mod explain;
pub mod follow;
pub mod key;
pub mod list;
pub mod output;
pub mod push;
pub mod show;
pub mod submit;
pub mod validate;
pub mod verify;
