//! The commands of `bcce budgets`.

pub mod list;
pub mod show;
