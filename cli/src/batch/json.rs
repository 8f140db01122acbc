//! Returns the state of a batch as JSON.

use serde_json::{Value, json};

use super::{Batch, view};
use crate::tracked::Status;

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
