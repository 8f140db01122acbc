//! Bulk jobs: Bedrock batch inference jobs that process the items of a batch as records, at half the price.

mod fit; // the plans that a bulk job can run, and the target
mod job; // a bulk job: its input, name and status
mod jobs; // the bulk jobs of a batch
mod leftovers; // the decision whether leftovers run on demand
mod output; // a line of a job's output -> the item and its answer
mod record; // a line of a job's input
mod take; // a returned record -> an attempt and its answer

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
