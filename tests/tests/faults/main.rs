//! Faults between the functions and every service they call, on a stack of its own: `make faults`. A run
//! ends late or fails by the right name, and nothing half-written is presented as done.
//!
//! The arithmetic of the cases: an SDK call makes 4 tries, so a fault that fires up to 3 times is over
//! before the function notifications; the 4th makes the function fail, and so does the first of an error that
//! no second try mends. Then Step Functions calls it again, or the message comes again. The SDK's waits
//! are as on AWS (up to 1, 2 and 4 seconds), those of Step Functions a fiftieth.

mod ending;
mod for_good;
mod late;
mod messages;
mod paused;
