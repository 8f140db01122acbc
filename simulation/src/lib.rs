//! Simulates the failover of `bcce-core` through outages. Requests arrive on a simulated clock and call simulated
//! regions, which fail as a scenario prescribes. The decisions are made by the code of the product. A seed determines
//! every random choice, so that a table can be reproduced.

pub mod dice; // random numbers
pub mod figures; // the results of one simulation
pub mod ledger; // the ledger: breakers, latencies, warm caches
pub mod regions; // the regions and the outcomes of calls
pub mod run; // the simulation, event by event
pub mod scenario; // the failures, the regions and the route
pub mod step; // the state of one request
pub mod table; // the results, as a table
