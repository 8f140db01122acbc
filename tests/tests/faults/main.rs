//! Faults between the functions and every service they call, on a stack of its own: `make faults`. A run
//! ends late or fails by the right name, and nothing half-written is presented as done.
//!
//! The arithmetic of the cases: an SDK call makes 4 tries, so a fault that fires up to 3 times is over
//! before the function notices; the 4th makes the function fail. Then Step Functions calls it again, or
//! the message comes again. Its retries wait a fiftieth here.

mod ending;
mod for_good;
mod late;
mod messages;
mod proxy;
#[allow(dead_code, reason = "these tests need a part of it")]
#[path = "../emulated/stack.rs"]
mod stack;
