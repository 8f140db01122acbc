//! The commands of `bcce workflows`.

pub mod graph;
pub mod list;
pub mod show;

#[cfg(test)]
mod tests;
