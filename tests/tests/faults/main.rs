//! Tests of faults between the functions and each service that they call: a run is delayed or fails with the right
//! error name, and nothing incomplete is presented as finished.
//!
//! `make faults` starts the suite on a local stack of its own with a fault proxy. The proxy's rules apply to every
//! call, so one test runs at a time.
//!
//! The numbers of the cases follow from the retries. An SDK call makes 4 tries, so a fault that occurs up to 3 times is
//! over before the function sees it. The 4th makes the function fail, and so does the first error that the SDK does not
//! retry. Then Step Functions calls the function again, or the message is received again. The SDK waits as on AWS (up
//! to 1, 2 and 4 seconds), and Step Functions waits a fiftieth of its time.

mod ending;
mod for_good;
mod late;
mod messages;
mod paused;
