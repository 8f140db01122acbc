//! What the suites share.
//!
//! - [`grants`]: every permission of the templates, and the test that shows that it is needed
//! - [`stack`]: the deployed stack as a plain client sees it
//! - [`waits`]: waits for what happens on the stack
//! - [`proxy`]: the fault proxy between the functions and the services
//! - [`cli`]: the command `bcce` as a script calls it

#[cfg(feature = "emulated")]
pub mod cli;
pub mod grants;
#[cfg(feature = "emulated")]
pub mod proxy;
#[cfg(feature = "emulated")]
pub mod stack;
#[cfg(feature = "emulated")]
mod waits;
