//! Builds the request of a batch from the command line.

use std::time::Duration;

use bcce_core::base::digest::sha256_hex_of_fields;
use bcce_core::base::error::Problems;
use bcce_core::batch::{BatchRequest, BatchSpec, Format, ItemField, Mode, StoredBatch};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Args;
use super::origin::{Origin, upload};
use crate::cmd::submit::{TENANT, inputs};
use crate::files::text;
use crate::values::{duration, word};
use crate::world::World;

/// The number of hex digits of the digest in the id of a batch.
const DIGITS: usize = 16;
/// The largest number of bytes of the name of the source in the id of a batch.
const STEM_BYTES: usize = 128;

/// The time by which a batch must end.
#[derive(Clone, Debug, PartialEq)]
pub enum Deadline {
    At(OffsetDateTime),
    /// A duration from now, with its text as typed.
    In(Duration, String),
}

impl Deadline {
    pub fn parse(given: &str) -> Result<Self, String> {
        if let Ok(at) = OffsetDateTime::parse(given, &Rfc3339) {
            return Ok(Self::At(at));
        }
        let wrong = |_| {
            "must be a time such as 2026-11-30T18:00:00Z, or a duration from now such as 6h or 30m"
                .to_owned()
        };
        duration(given).map(|from_now| Self::In(from_now, given.to_owned())).map_err(wrong)
    }

    fn at(&self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(at) => *at,
            Self::In(from_now, _) => now + *from_now,
        }
    }
}

pub fn format(given: &str) -> Result<Format, String> {
    word(given, "jsonl, csv, objects")
}

pub fn mode(given: &str) -> Result<Mode, String> {
    word(&given.replace('-', "_"), "on-demand, bulk, auto")
}

pub fn item_field(given: &str) -> Result<ItemField, String> {
    word(given, "model, tags")
}

/// Returns the request, the origin of its items with their format, and the problems that can be found without the
/// stack. The source of the request is set later, when the location where the stack reads it is known.
pub fn draft(args: &Args, world: &World) -> (BatchRequest, Option<(Origin, Format)>, Problems) {
    let mut problems = Problems::default();
    let mut origin = None;
    match Origin::parse(&args.source, args.format) {
        Ok(parsed) => origin = Some(parsed),
        Err(faults) => problems.extend(faults),
    }
    let deadline = args.deadline.as_ref().map(|deadline| deadline.at(world.now()));
    let ahead = deadline.is_none_or(|deadline| deadline > world.now());
    problems.check(ahead, "deadline", "is in the past");
    let mut request = BatchRequest {
        workflow: args.workflow.clone(),
        id: args.id.clone(),
        batch: BatchSpec {
            format: origin.as_ref().map(|(_, format)| *format),
            map: (!args.map.is_empty()).then(|| map(&args.map, &mut problems)),
            item_id: args.item_id.clone(),
            items_may_set: args.items_may_set.clone(),
            mode: args.mode,
            deadline: deadline.and_then(|deadline| deadline.format(&Rfc3339).ok()),
            concurrency: args.concurrency,
            tolerated_failure_percent: args.tolerate,
            ..BatchSpec::default()
        },
        tags: args.tag.iter().cloned().collect(),
        model: args.model.clone(),
        ..BatchRequest::default()
    };
    let read = |path: &str| match path {
        "-" => world.standard_input(),
        path => std::fs::read_to_string(path),
    };
    let files = Default::default();
    match inputs::collect(args.inputs.as_deref(), &args.input, &files, &read, &text) {
        Ok(inputs) => request.inputs = inputs,
        Err(faults) => problems.extend(faults),
    }
    let wrong = BatchRequest::parse(&placed_somewhere(&request, origin.as_ref()).message()).err();
    problems.extend(wrong.unwrap_or_default());
    (request, origin, problems)
}

/// Returns the request with a placeholder for its source, if that is not known yet, so that the rest can be checked.
fn placed_somewhere(request: &BatchRequest, origin: Option<&(Origin, Format)>) -> BatchRequest {
    let mut placed = request.clone();
    placed.batch.source = match origin {
        Some((Origin::Object(location) | Origin::Prefix(location), _)) => location.to_string(),
        _ => upload("bucket", "-", Format::Jsonl).to_string(),
    };
    placed
}

fn map(
    pairs: &[(String, String)],
    problems: &mut Problems,
) -> std::collections::BTreeMap<String, Value> {
    let mut map = std::collections::BTreeMap::new();
    for (name, value) in pairs {
        let before = map.insert(name.clone(), Value::from(value.as_str()));
        problems.check(before.is_none(), format!("map.{name}"), "is given twice");
    }
    map
}

/// Returns the id of a batch: `<name of the source>-<16 hex digits>`. The same command with the same items has the same
/// id. `met` is the digest of the objects below a prefix. A deadline that counts from now enters the digest as typed.
pub fn id(
    origin: &Origin,
    request: &BatchRequest,
    deadline: Option<&Deadline>,
    met: &str,
) -> String {
    let mut stored = StoredBatch::new(request.clone(), TENANT, "");
    if let Some(Deadline::In(_, typed)) = deadline {
        stored.batch.deadline = Some(typed.clone());
    }
    let message = serde_json::to_string(&stored).unwrap_or_default();
    let digest = sha256_hex_of_fields(&[&message, met]);
    let stem = origin.stem();
    format!("{}-{}", &stem[..stem.floor_char_boundary(STEM_BYTES)], &digest[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::batch::submit::tests::args;
    use time::macros::datetime;

    fn world() -> World {
        World { environment: "dev".into(), terminal: false, color: false }
    }

    fn problems(args: &Args) -> String {
        draft(args, &world()).2.to_string()
    }

    #[test]
    fn a_command_is_a_message_with_everything_it_says() {
        let mut args = args("calls.csv");
        args.map = vec![("text".into(), "{{ item.a }}".into())];
        args.deadline = Some(Deadline::parse("6h").unwrap());
        let (request, origin, problems) = draft(&args, &world());
        assert_eq!(problems, Problems::default());
        assert_eq!(origin.unwrap().1, Format::Csv);
        assert!(request.batch.deadline().unwrap() > world().now() + Duration::from_secs(21_000));
        assert_eq!(request.batch.map.unwrap()["text"], "{{ item.a }}");
    }

    #[test]
    fn what_is_wrong_is_reported_together() {
        let mut args = args("calls");
        args.map = vec![("text".into(), "{{ body.a }}".into()), ("text".into(), "x".into())];
        args.deadline = Some(Deadline::At(datetime!(2020-01-01 0:00 UTC)));
        args.input = vec!["hunter2".into()];
        args.concurrency = Some(0);
        let problems = problems(&args);
        for part in [
            "format: cannot be derived",
            "map.text: is given twice",
            "deadline: is in the past",
            "inputs: must be NAME=VALUE",
            "batch.concurrency: must be",
        ] {
            assert!(problems.contains(part), "{part} is missing in {problems}");
        }
        assert!(!problems.contains("hunter2"));
    }

    #[test]
    fn objects_need_a_map() {
        assert!(
            problems(&args("s3://bucket/docs/")).contains("batch.map: must map an object's text")
        );
        assert_eq!(problems(&args("s3://bucket/docs/a.jsonl")), "");
    }

    #[test]
    fn the_same_command_has_the_same_id_whenever_it_is_given() {
        let id_of = |args: &Args, met: &str| {
            let (mut request, origin, _) = draft(args, &world());
            request.batch.source = "s3://b/batches/uploads/d.csv".into();
            id(&origin.unwrap().0, &request, args.deadline.as_ref(), met)
        };
        let mut given = args("x/calls.csv");
        given.deadline = Some(Deadline::parse("6h").unwrap());
        let first = id_of(&given, "");
        assert!(first.starts_with("calls-") && first.len() == "calls-".len() + 16, "{first}");
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(id_of(&given, ""), first);
        assert_ne!(id_of(&given, "other objects"), first);
        given.deadline = Some(Deadline::parse("7h").unwrap());
        assert_ne!(id_of(&given, ""), first);
    }

    #[test]
    fn formats_modes_and_deadlines_are_read_as_they_are_written() {
        assert_eq!(format("csv"), Ok(Format::Csv));
        assert_eq!([mode("on-demand"), mode("auto")], [Ok(Mode::OnDemand), Ok(Mode::Auto)]);
        assert_eq!(item_field("tags"), Ok(ItemField::Tags));
        assert!(item_field("inputs").is_err());
        assert!(format("xml").is_err() && mode("fast").is_err());
        let at = datetime!(2026-11-30 18:00 UTC);
        assert_eq!(Deadline::parse("2026-11-30T18:00:00Z"), Ok(Deadline::At(at)));
        assert!(Deadline::parse("tomorrow").is_err());
    }
}
