//! The commands for the price file.

mod edit; // adds rows to the text of a price file
pub mod import;
