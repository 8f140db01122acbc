//! Returns the state of a batch as JSON.

use serde_json::{Value, json};

use super::{Batch, view};
use crate::json::Field;
use crate::tracked::Status;

pub const FIELDS: [Field; 10] = [
    ("batch_id", "id of the batch"),
    ("attempt_no", "number of the attempt, from 1"),
    ("status", "SENT, OPENING, RUNNING, FINALIZING, or the status of the record"),
    ("record", "record of the attempt, with the fields that `bcce batch list` has, or null"),
    ("opened", "what was read of the source: the number of items, their size and digest, or null"),
    ("jobs", "list of bulk jobs with their states; empty in other modes"),
    (
        "progress",
        "items that succeeded and failed, their errors, usage and cost, and the rate of a packed batch",
    ),
    ("per_minute", "number of runs that ended per minute, or null"),
    ("seconds_left", "estimated time to the end in seconds, or null"),
    ("manifest", "manifest of the attempt, or null before it is sealed"),
];

/// Returns the JSON that `bcce batch status --json` prints.
pub fn as_json(batch: &Batch) -> Value {
    let record = batch.record.as_ref();
    let per_minute = record.and_then(|record| batch.pace.per_minute(record.started_at));
    let left = per_minute.and_then(|per_minute| view::left(batch, per_minute));
    let status = match batch.status() {
        Status::Unknown => "SENT",
        Status::UnderWay if record.is_none() => "OPENING",
        Status::UnderWay => "RUNNING",
        Status::Finalizing(_) => "FINALIZING",
        Status::Over(status) => status.as_str(),
    };
    json!({
        "batch_id": batch.reference.batch_id,
        "attempt_no": batch.reference.attempt_no,
        "status": status,
        "record": record,
        "opened": batch.opened,
        "jobs": batch.jobs,
        "progress": batch.progress,
        "per_minute": per_minute.map(|rate| (rate * 10.0).round() / 10.0),
        "seconds_left": left.map(|left| left.whole_seconds()),
        "manifest": batch.manifest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples::half_way;
    use bcce_core::batch::Rate;

    #[test]
    fn programs_read_what_people_see() {
        let json = as_json(&half_way());
        assert_eq!(crate::json::undocumented(&json, &[&FIELDS]), [""; 0]);
        assert_eq!(json["status"], "RUNNING");
        assert_eq!((&json["per_minute"], &json["seconds_left"]), (&json!(62.0), &json!(240)));
        assert_eq!(json["progress"]["errors"]["Bcce.NoTarget"], 12);
        assert_eq!((&json["opened"]["items"], &json["manifest"]), (&json!(500), &Value::Null));
        let mut packed = half_way();
        packed.progress.rate = Some(Rate { calls: 12, most: 20, throttled: vec!["r a".into()] });
        let rate = json!({ "calls": 12, "most": 20, "throttled": ["r a"] });
        assert_eq!(as_json(&packed)["progress"]["rate"], rate);
        let opening = Batch::new(half_way().reference);
        assert_eq!(as_json(&opening)["status"], "SENT");
    }
}
