//! A run of a workflow, from its request to its notification.

pub mod artifact; // what lies under runs/<tenant>/<run id>/
pub mod call_log; // calls that were started, and which of them were lost
pub mod ending; // an execution that was ended from outside
pub mod history; // how many router rounds an execution's history has room for
pub mod ids; // ids of a run and where its objects lie
pub mod manifest; // the sealed record of one attempt at a run
pub mod step_metadata; // the `requestMetadata` of a step execution
pub mod metrics; // what a run adds to the metrics
pub mod notification; // the message on the notifications topic
pub mod plan; // request + template + configuration, frozen
pub mod request; // what a sender asks for
pub mod slots; // what a tenant may have under way
