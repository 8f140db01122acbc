//! The fields of the records of the ledger.

use super::Field;

pub const RUN: [Field; 17] = [
    ("run_id", "id of the run"),
    ("attempt_no", "number of the run attempt, from 1"),
    ("tenant", "who sent the request"),
    ("workflow", "name of the workflow"),
    ("request_id", "idempotency key of the request"),
    ("execution_arn", "ARN of the execution, for a packed run that of its batch"),
    ("trace_id", "id of the X-Ray trace of the execution; missing for a packed run"),
    ("status", "RUNNING, SUCCEEDED, FAILED, REJECTED or CANCELLED"),
    ("started_at", "start of the run attempt"),
    ("ended_at", "its end, or null while it runs"),
    ("manifest", "key of the manifest, or null before it is sealed"),
    ("cost_usd", "known part of the cost, as a decimal number, or null before it is counted"),
    ("cost_is_complete", "false if the cost of a call is unknown"),
    ("truncated", "number of answers that max_tokens cut; missing if there are none"),
    ("tags", "tags of the request; missing before the run is over, and if there are none"),
    ("error_name", "name of the error, or null"),
    ("error_message", "what was wrong, or null"),
];

pub const BATCH: [Field; 16] = [
    ("batch_id", "id of the batch"),
    ("attempt_no", "number of the attempt, from 1"),
    ("tenant", "who sent the batch"),
    ("workflow", "name of the workflow"),
    ("request_id", "idempotency key of the batch"),
    ("execution_arn", "ARN of the execution"),
    ("status", "RUNNING, SUCCEEDED, PARTIAL, FAILED or CANCELLED"),
    ("started_at", "start of the attempt"),
    ("ended_at", "its end, or null while it runs"),
    ("items", "number of items of the source, including rejected ones"),
    ("rejected", "number of rejected items"),
    ("to_run", "number of items that this attempt runs"),
    ("mode", "on_demand, bulk or auto"),
    ("allowed_failures", "number of items that may fail before the batch halts"),
    ("manifest", "key of the manifest, or null before it is sealed"),
    ("error_name, error_message", "name of the error and what was wrong, or null"),
];
