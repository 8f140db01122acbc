//! Reads every item of a batch and makes the checks that opening the batch will make. Keeps only the ids of the items
//! in memory.

use std::io::Read;
use std::path::Path;

use bcce_aws::s3::MAX_UPLOAD_BYTES;
use bcce_core::base::digest::Digest;
use bcce_core::base::error::{Fault, Problems};
use bcce_core::base::limits::ByteCount;
use bcce_core::batch::bulk::fit;
use bcce_core::batch::intake::{Taken, Typical};
use bcce_core::batch::item::{Entry, Rejected};
use bcce_core::batch::{Format, Intake, Location, RowReader};
use bcce_core::ports::{ListSource, NextBytes};
use bcce_core::run::plan::Plan;
use bcce_core::run::plan::estimate::Estimate;
use bcce_core::run::plan::worst::WorstCase;
use serde::Serialize;
use time::OffsetDateTime;

use crate::exit::{Failure, Outcome};
use crate::figures;

/// The number of bytes that are read at a time.
const PIECE: usize = 64 * 1_024;
/// The number of rejected items that are listed one by one.
const LISTED: usize = 20;

/// The results of reading the items of a batch.
#[derive(Debug, Default)]
pub struct Survey {
    pub items: u64,
    pub rejected: u64,
    /// The first rejected items.
    pub first_rejected: Vec<Rejected>,
    pub longest: Option<Longest>,
    /// The estimate for running on demand. Zero if no estimate was requested.
    pub estimate: Estimate,
    /// The estimate for running in bulk, with every item that a bulk job accepts as a record of one.
    pub in_bulk: Estimate,
    /// The plan of a typical item, which stands for all items. Empty if no estimate was requested.
    pub plan: Typical<Plan>,
    /// The number of objects that the estimate does not include, because a text of their length has no valid plan.
    pub unestimated: u64,
    /// The worst case of the items. An object counts as text of its size.
    pub worst: WorstCase,
    /// The fault if the worst case exceeds a limit of a batch.
    pub unaffordable: Option<Fault>,
}

/// The time and the region that an estimate assumes.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    pub at: OffsetDateTime,
    /// The region of the stack. Its bulk jobs call targets in that region.
    pub region: &'a str,
}

/// The longest item, by the size of its inputs as JSON or of its object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Longest {
    pub line: u64,
    pub id: String,
    pub bytes: u64,
}

/// Reads the items of a local file, and returns its digest as well.
pub fn file(
    path: &Path,
    format: Format,
    mut intake: Intake<'_>,
    basis: Option<Basis<'_>>,
) -> Outcome<(Survey, Digest)> {
    let name = path.display();
    let unread = |error| {
        let what = format!("{name} cannot be read: {error}");
        Failure::usage(what, "nothing was sent")
    };
    let about = path.metadata().map_err(unread)?;
    if !about.is_file() {
        let what = format!("{name} is not a regular file");
        return Err(Failure::usage(what, "nothing was sent; write the items to a file first"));
    }
    if about.len() > MAX_UPLOAD_BYTES {
        return Err(too_large(&name.to_string(), about.len()));
    }
    let mut file = std::fs::File::open(path).map_err(unread)?;
    let (mut survey, mut digest) = (Survey::default(), Digest::default());
    let mut reader = reader(format)?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).map_err(unread)?;
        if read == 0 {
            break;
        }
        digest.add(&piece[..read]);
        let mut each = |row| survey.note(intake.row(row), basis);
        reader
            .push(&piece[..read], &mut each)
            .map_err(|problems| invalid_source(&name, &problems))?;
    }
    let mut each = |row| survey.note(intake.row(row), basis);
    reader.finish(&mut each).map_err(|problems| invalid_source(&name, &problems))?;
    survey.price(&intake);
    Ok((survey, digest))
}

/// Reads the items of an object.
pub async fn object(
    location: &Location,
    mut body: impl NextBytes,
    format: Format,
    mut intake: Intake<'_>,
    basis: Option<Basis<'_>>,
) -> Outcome<Survey> {
    let (mut survey, mut reader) = (Survey::default(), reader(format)?);
    while let Some(bytes) = body.next_bytes().await? {
        let mut each = |row| survey.note(intake.row(row), basis);
        reader.push(&bytes, &mut each).map_err(|problems| invalid_source(location, &problems))?;
    }
    let mut each = |row| survey.note(intake.row(row), basis);
    reader.finish(&mut each).map_err(|problems| invalid_source(location, &problems))?;
    survey.price(&intake);
    Ok(survey)
}

/// Lists the objects below a prefix, and returns a digest of their keys and ETags as well. The objects are not read; an
/// estimate assumes text of the same length.
pub async fn prefix(
    sources: &impl ListSource,
    location: &Location,
    mut intake: Intake<'_>,
    basis: Option<Basis<'_>>,
) -> Outcome<(Survey, Digest)> {
    let (mut survey, mut digest) = (Survey::default(), Digest::default());
    let mut from = None;
    loop {
        let page = sources.page(location, from.as_deref()).await?;
        for object in page.objects {
            digest.add(format!("{}\0{}\0", object.key, object.etag).as_bytes());
            let Some(mut taken) = intake.object(object) else { continue };
            if let (Entry::Item(item), Some(_)) = (&taken.entry, basis) {
                let bytes = item.object.as_ref().map_or(0, |object| object.bytes);
                let text = "x".repeat(usize::try_from(bytes).unwrap_or(0));
                taken.plan = intake.plan_with((**item).clone(), &text).ok();
                survey.unestimated += u64::from(taken.plan.is_none());
            }
            survey.note(taken, basis);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => {
                survey.price(&intake);
                return Ok((survey, digest));
            }
        }
    }
}

impl Survey {
    fn note(&mut self, taken: Taken, basis: Option<Basis<'_>>) {
        self.items += 1;
        if let (Some(plan), Some(basis)) = (taken.plan, basis) {
            self.estimate(&plan, basis);
            self.plan.note(&taken.entry, || Some(plan));
        }
        match taken.entry {
            Entry::Item(item) => {
                let bytes = match &item.object {
                    Some(object) => object.bytes,
                    None => ByteCount::of(&item.inputs),
                };
                if self.longest.as_ref().is_none_or(|longest| longest.bytes < bytes) {
                    self.longest = Some(Longest { line: item.line, id: item.id, bytes });
                }
            }
            Entry::Rejected(rejected) => {
                self.rejected += 1;
                if self.first_rejected.len() < LISTED {
                    self.first_rejected.push(rejected);
                }
            }
        }
    }

    fn estimate(&mut self, plan: &Plan, Basis { at, region }: Basis<'_>) {
        let on_demand = plan.estimate(at);
        self.in_bulk.add(match fit(plan, region) {
            Ok(fit) => plan.estimate_in_bulk(fit.step, fit.target, at),
            Err(_) => on_demand.clone(),
        });
        self.estimate.add(on_demand);
    }

    fn price(&mut self, intake: &Intake<'_>) {
        self.worst = intake.worst_case().clone();
        self.unaffordable = intake.check_limits().err();
    }

    /// Returns the number of items that would run.
    pub fn left(&self) -> u64 {
        self.items - self.rejected
    }
}

fn reader(format: Format) -> Outcome<RowReader> {
    let no_rows = || {
        Failure::usage(
            "the format objects needs a prefix",
            "nothing was sent; use --format jsonl or csv",
        )
    };
    RowReader::new(format).ok_or_else(no_rows)
}

fn invalid_source(name: &dyn std::fmt::Display, problems: &Problems) -> Failure {
    let what = format!("{name}: {problems}");
    Failure::usage(
        what,
        "nothing was sent; an input file must be UTF-8, with one JSON object per line or CSV",
    )
}

/// Returns the failure for a source that is too large to upload or copy.
pub fn too_large(name: &str, bytes: u64) -> Failure {
    let bytes = figures::count(bytes);
    Failure::usage(
        format!("{name} has {bytes} bytes; the limit for an upload or a copy is 5 GiB"),
        "nothing was sent; split it into several batches, or copy it to batches/uploads/ in the stack's bucket with `aws s3 cp`",
    )
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bcce_core::batch::item::Object;
    use bcce_core::batch::{BatchRequest, BatchSpec, StoredBatch};
    use bcce_core::config::budgets::Budgets;
    use bcce_core::config::configuration::Configuration;
    use bcce_core::config::policy::Policy;
    use bcce_core::config::profiles::Profiles;
    use bcce_core::config::routing::Routing;
    use bcce_core::document::{Document, from_yaml};
    use bcce_core::ports::Page;
    use time::macros::datetime;

    const MODELS: &str = include_str!("../../../../../infra/config/dev/models.yaml");
    const PRICES: &str = include_str!("../../../../../infra/config/dev/prices.yaml");
    const WORKFLOW: &str = include_str!("../../../../../infra/config/dev/workflows/explain.yaml");

    fn read<T: Document>(yaml: &str) -> T {
        from_yaml(yaml).finished().unwrap()
    }

    pub fn configuration() -> Configuration {
        Configuration {
            template: read(WORKFLOW),
            template_sha256: "t".into(),
            models: read(MODELS),
            routing: Routing::default(),
            policy: Policy::default(),
            policy_sha256: "p".into(),
            profiles: Profiles::default(),
            budgets: Budgets::default(),
            prices: read(PRICES),
        }
    }

    fn batch(source: &str) -> StoredBatch {
        let map = [("text".to_owned(), "{{ item.text }}".into())];
        let map = source.ends_with('/').then(|| map.into());
        let batch = BatchSpec { source: source.into(), map, ..BatchSpec::default() };
        let request = BatchRequest { workflow: "explain".into(), batch, ..BatchRequest::default() };
        StoredBatch::new(request, "default", "m")
    }

    const BASIS: Option<Basis<'static>> =
        Some(Basis { at: datetime!(2026-11-28 12:00 UTC), region: "us-east-1" });

    /// Reads a file of JSON Lines with an estimate.
    pub fn surveyed(source: &str) -> Survey {
        of_file(source.as_bytes(), Format::Jsonl).unwrap().0
    }

    fn of_file(bytes: &[u8], format: Format) -> Outcome<(Survey, Digest)> {
        let name = format!("bcce-survey-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        let (batch, configuration) = (batch("s3://b/a.jsonl"), configuration());
        let found = file(&path, format, Intake::new(&batch, &configuration), BASIS);
        std::fs::remove_file(&path).unwrap();
        found
    }

    #[test]
    fn a_file_is_read_once_for_its_items_and_its_digest() {
        let source = "{\"text\":\"a\"}\n{\"txt\":\"b\"}\n{\"text\":\"ccc\",\"id\":\"x\"}";
        let (survey, digest) = of_file(source.as_bytes(), Format::Jsonl).unwrap();
        assert_eq!((survey.items, survey.rejected, survey.left()), (3, 1, 2));
        assert_eq!(survey.first_rejected[0].line, 2);
        let longest = Longest { line: 3, id: "x".into(), bytes: 14 };
        assert_eq!(survey.longest, Some(longest));
        assert_eq!(survey.estimate.calls, 2);
        assert_eq!(digest.hex(), bcce_core::base::digest::sha256_hex(source.as_bytes()));
    }

    #[test]
    fn an_invalid_source_is_reported_with_the_reason() {
        let what = |bytes: &[u8], format| of_file(bytes, format).err().unwrap().what;
        assert!(what(b"\xff\xfe{\0", Format::Jsonl).contains("is UTF-16"));
        assert!(what(b"a,a\n1,2", Format::Csv).contains("columns 1 and 2 have the same name"));
        let (batch, configuration) = (batch("s3://b/a.jsonl"), configuration());
        for (path, why) in [("/gone.jsonl", "cannot be read"), ("/tmp", "is not a regular file")] {
            let intake = Intake::new(&batch, &configuration);
            let failure = file(Path::new(path), Format::Jsonl, intake, BASIS).err().unwrap();
            assert!(failure.what.contains(why), "{}", failure.what);
        }
    }

    /// A source with two objects per page.
    struct Listed(Vec<Object>);

    impl ListSource for Listed {
        async fn page(&self, _: &Location, from: Option<&str>) -> Result<Page, Fault> {
            let at = from.map_or(0, |at| at.parse().unwrap());
            let next = (at + 2 < self.0.len()).then(|| (at + 2).to_string());
            let objects = self.0.iter().skip(at).take(2).cloned().collect();
            Ok(Page { objects, next })
        }
    }

    async fn listed(objects: &[(&str, &str, u64)], basis: Option<Basis<'_>>) -> (Survey, String) {
        let object = |(key, etag, bytes): &(&str, &str, u64)| Object {
            key: (*key).into(),
            etag: (*etag).into(),
            bytes: *bytes,
        };
        let sources = Listed(objects.iter().map(object).collect());
        let (batch, configuration) = (batch("s3://bucket/docs/"), configuration());
        let location = Location::parse("s3://bucket/docs/").unwrap();
        let intake = Intake::new(&batch, &configuration);
        let (survey, digest) = prefix(&sources, &location, intake, basis).await.unwrap();
        (survey, digest.hex())
    }

    #[tokio::test]
    async fn objects_are_taken_as_texts_of_their_length() {
        let objects =
            [("docs/", "0", 0), ("docs/a", "1", 400), ("docs/b", "2", 0), ("docs/c", "3", 40)];
        let (survey, digest) = listed(&objects, BASIS).await;
        assert_eq!((survey.items, survey.rejected, survey.estimate.calls), (3, 1, 2));
        assert_eq!(survey.longest.unwrap().id, "a");
        assert!(survey.estimate.input_tokens_least >= 110, "{:?}", survey.estimate);
        let (survey, same) = listed(&objects, None).await;
        assert_eq!((survey.estimate.calls, same == digest), (0, true));
        let changed =
            [("docs/", "0", 0), ("docs/a", "9", 400), ("docs/b", "2", 0), ("docs/c", "3", 40)];
        assert_ne!(listed(&changed, None).await.1, digest);
    }
}
