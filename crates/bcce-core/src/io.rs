//! What is done through ports and is the same in several functions and in the command.

pub mod notification; // who sends the notification of what is over
pub mod item_run; // an item of a batch as a run that can be started
pub mod objects; // objects written once, and read back
pub mod previous_results; // what earlier attempts at a batch stored
pub mod reader; // the configuration as a stack has it
pub mod seal; // a manifest, signed by who made it and stored with its signature
pub mod shared_breakers; // the breakers of the ledger, remembered for when it is out of reach
