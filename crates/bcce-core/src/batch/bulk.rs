//! Batch inference: the records of many runs in one job of the service, at half the price.

mod fit; // which plans a job can take, and on which target
mod job; // a job of the service
mod jobs; // those of a batch, and what is next
mod leftovers; // whether what a job left over runs on demand
mod output; // a line of a job's output -> an item and its answer
mod record; // a line of a job's input
mod take; // what comes back -> an attempt and its answer

pub use fit::{Fit, fit};
pub use job::{
    Job, JobStart, JobStatus, LONGEST_TIMEOUT, MAX_JOB_BYTES, MAX_RECORDS, MIN_RECORDS, NewJob,
    Records, hours, job_name, output_key,
};
pub use jobs::{JobRecord, JobsRecord, NextLook, Rendered, job_of, jobs_of};
pub use leftovers::{Leftovers, SAMPLE, Sampled, TakenPart, Verdict, sample};
pub use output::{Output, Returned, read};
pub use record::{Asking, item, prompt, record_id};
pub use take::{Taken, Took, take};

#[cfg(test)]
mod tests;
