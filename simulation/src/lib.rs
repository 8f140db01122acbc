//! The failover of `bcce-core`, the same code, through outages: requests on a clock of its own against
//! regions that fail by a script. A seed decides everything, so that a table can be had again.

pub mod dice; // what is left to chance
pub mod figures; // what is measured of a run
pub mod ledger; // the breakers, each seen a little late
pub mod plant; // the regions, and how they answer
pub mod run; // requests through it all
pub mod scenario; // what goes wrong, when, and under which strategy
pub mod step; // one request on its way
pub mod table; // figures as they are printed
