//! A run of a workflow, from its request to its notification.

pub mod artifact; // the objects of a run, below runs/<tenant>/<run id>/
pub mod budget_alert; // the message that a budget is nearly used up
pub mod budgets; // the counters of budgets, and what calls reserve from them
pub mod call_log; // the calls that were started, and which of them were lost
pub mod ending; // an execution that was ended from outside
pub mod execution_end; // the event of the end of an execution, which the finalize machine takes
pub mod history; // how many router rounds an execution's history has room for
pub mod ids; // the ids of a run and the keys of its objects
pub mod manifest; // the sealed record of one run attempt
pub mod step_metadata; // the `requestMetadata` of a step execution
pub mod metrics; // the metrics of a run
pub mod notification; // the message on the notifications topic
pub mod plan; // the resolved request, stored before the first call
pub mod request; // the request of a sender, and its stored form
pub mod slots; // the limit on the runs and items that a tenant has under way
