//! The code that the test suites share.
//!
//! - [`grants`]: every permission of the templates, and the test that shows that it is needed
//! - [`stack`]: a client of the deployed stack
//! - [`budgets`]: the budgets of the tests
//! - [`waits`]: waits for events on the stack
//! - [`proxy`]: the fault proxy between the functions and the services
//! - [`plants`]: faults planted in the scripted model
//! - [`cli`]: the `bcce` command
//! - [`browser`]: opens HTML pages in Chromium
//! - [`kills`]: kills functions while they work
//! - [`seed`]: the source of the random choices of a test

#[cfg(feature = "emulated")]
pub mod browser;
#[cfg(feature = "emulated")]
pub mod budgets;
#[cfg(feature = "emulated")]
pub mod cli;
pub mod grants;
#[cfg(feature = "emulated")]
pub mod kills;
#[cfg(feature = "emulated")]
pub mod plants;
#[cfg(feature = "emulated")]
pub mod proxy;
#[cfg(feature = "emulated")]
pub mod seed;
#[cfg(feature = "emulated")]
pub mod stack;
#[cfg(feature = "emulated")]
mod waits;
