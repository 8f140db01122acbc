//! The runs of packed parts: what the segments store of them, and their sealed manifests with the proof that the
//! signature of the part covers them.

mod allowances; // allowances that another function reserves or commits
mod planning; // the request and the plan of a run
mod write; // segments, written by the owner of a part

pub use allowances::{JobRecords, commit_left, reserve_records};
pub use planning::Planning;
pub use write::{OwnedPart, SEGMENT_BYTES, SegmentBuffer, SegmentWriter, fence, lost};

use std::collections::BTreeMap;

use futures::lock::Mutex;

use crate::base::error::Fault;
use crate::base::json::parse;
use crate::batch::packed::tree::{self, Hash};
use crate::batch::packed::{PLAN, PackedPlace, PackedRun, Stage, parse_segment};
use crate::batch::reference::{BatchRef, SEGMENT};
use crate::io::objects;
use crate::ports::{GetObject, ListObjects};
use crate::run::manifest::Manifest;

/// The segments of a part that exist, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    keys: Vec<String>,
}

impl Segments {
    /// Lists the segments of a part.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed.
    pub async fn list(
        store: &impl ListObjects,
        batch: &BatchRef,
        part: u32,
    ) -> Result<Self, Fault> {
        let mut keys = store.list(&batch.segments_prefix(part)).await?;
        keys.retain(|key| key.ends_with(SEGMENT));
        Ok(Self { keys })
    }

    /// Returns the number of the next segment. Segments are written without gaps.
    pub fn next(&self) -> u32 {
        self.keys.len() as u32 + 1
    }

    /// Reads the segments one after the other, and hands each run of them to `take`. A run that went on in a later call
    /// of the function occurs in several segments.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed or a segment cannot be parsed, and the errors of `take`.
    pub async fn read(
        &self,
        store: &impl GetObject,
        mut take: impl FnMut(PackedRun) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for at in 0..self.keys.len() {
            self.runs(store, at).await?.into_iter().try_for_each(&mut take)?;
        }
        Ok(())
    }

    /// Returns where the runs for which `take` returns true are stored, by item number: of the lines of each, the one
    /// that counts. A part may have more runs than fit into memory.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed or a segment cannot be parsed, and the errors of `take`.
    pub async fn places(
        &self,
        store: &impl GetObject,
        mut take: impl FnMut(&PackedRun) -> Result<bool, Fault>,
    ) -> Result<BTreeMap<u64, StoredRun>, Fault> {
        let mut found: BTreeMap<u64, StoredRun> = BTreeMap::new();
        for (at, segment) in self.keys.iter().enumerate() {
            for run in self.runs(store, at).await? {
                let is_newer = found.get(&run.n).is_none_or(|before| run.replaces(before.stage));
                if take(&run)? && is_newer {
                    found.insert(run.n, StoredRun::of(segment, &run));
                }
            }
        }
        Ok(found)
    }

    /// Returns the number of segments.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Reads the runs of the segment `at`, counted from 0.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed or the segment cannot be parsed.
    pub async fn runs(&self, store: &impl GetObject, at: usize) -> Result<Vec<PackedRun>, Fault> {
        let key = &self.keys[at];
        parse_segment(key, &objects::bytes(store, key).await?)
    }
}

/// The place at which a run is stored, and its stage there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// The key of the segment.
    pub segment: String,
    pub n: u64,
    /// The run attempt.
    pub attempt_no: u32,
    pub stage: Stage,
    pub has_plan: bool,
}

impl StoredRun {
    fn of(segment: &str, run: &PackedRun) -> Self {
        let (n, attempt_no) = (run.n, run.run.attempt_no);
        let has_plan = run.object(PLAN).is_some();
        Self { segment: segment.to_owned(), n, attempt_no, stage: run.stage(), has_plan }
    }
}

/// Reads stored runs. It keeps the segment that was read last, because runs that are read one after the other are often
/// in the same one. One segment at a time is read, however many runs are asked for.
#[derive(Debug, Default)]
pub struct StoredRuns(Mutex<(String, Vec<PackedRun>)>);

impl StoredRuns {
    /// Reads a run.
    ///
    /// # Errors
    /// Returns `Bcce.Internal` if the store failed or the segment does not have the run.
    pub async fn read(
        &self,
        store: &impl GetObject,
        wanted: &StoredRun,
    ) -> Result<PackedRun, Fault> {
        let mut last = self.0.lock().await;
        let (key, runs) = &mut *last;
        if *key != wanted.segment {
            *runs = parse_segment(&wanted.segment, &objects::bytes(store, &wanted.segment).await?)?;
            key.clone_from(&wanted.segment);
        }
        let is_it = |run: &PackedRun| run.n == wanted.n && run.stage() == wanted.stage;
        // A run that is over counts as its first line has it, any other one as its last.
        let found = match wanted.stage {
            Stage::Over => runs.iter().find(|run| is_it(run)),
            _ => runs.iter().rfind(|run| is_it(run)),
        };
        let missing = || Fault::internal(format!("{key} does not have item {}", wanted.n));
        found.cloned().ok_or_else(missing)
    }
}

/// Finds what is stored of a packed run. Returns `None` if nothing is stored yet.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed or a segment cannot be parsed.
pub async fn find_run(
    store: &(impl GetObject + ListObjects),
    place: &PackedPlace,
) -> Result<Option<PackedRun>, Fault> {
    let mut found = find_runs(store, &place.batch, place.part, |n| n == place.n).await?;
    Ok(found.remove(&place.n))
}

/// Finds what is stored of several items of a part, by item number: of the lines of each, the one that counts. Items
/// that nothing is stored of are left out.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed or a segment cannot be parsed.
pub async fn find_runs(
    store: &(impl GetObject + ListObjects),
    batch: &BatchRef,
    part: u32,
    is_wanted: impl Fn(u64) -> bool,
) -> Result<BTreeMap<u64, PackedRun>, Fault> {
    let segments = Segments::list(store, batch, part).await?;
    let mut found: BTreeMap<u64, PackedRun> = BTreeMap::new();
    let take = |run: PackedRun| {
        if is_wanted(run.n) && found.get(&run.n).is_none_or(|before| run.replaces(before.stage())) {
            found.insert(run.n, run);
        }
        Ok(())
    };
    segments.read(store, take).await?;
    Ok(found)
}

/// The manifest of a packed run with the proof that the root of its part covers it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvenManifest {
    pub manifest: Manifest,
    /// The exact bytes that the digest tree covers.
    pub bytes: Vec<u8>,
    /// The position among the runs of the part, from 0, and the number of these runs.
    pub at: usize,
    pub runs: usize,
    pub proof: Vec<Hash>,
}

impl ProvenManifest {
    /// Returns the root that the proof leads to, in lower-case hex. The manifest is proven if the signed manifest of
    /// the part has this root.
    pub fn root(&self) -> Option<String> {
        let leaf = tree::leaf(&self.bytes);
        tree::root_by(leaf, self.at, self.runs, &self.proof).map(hex::encode)
    }
}

/// Finds the manifest of a packed run. Returns `None` if its part is not sealed, or if the run is not in it.
///
/// # Errors
/// Returns `Bcce.Internal` if the store failed or the manifest cannot be parsed.
pub async fn find_manifest(
    store: &impl GetObject,
    place: &PackedPlace,
) -> Result<Option<ProvenManifest>, Fault> {
    match store.get(&place.batch.part_runs_key(place.part)).await? {
        Some(manifests) => prove(&manifests, place),
        None => Ok(None),
    }
}

/// Finds the manifest of a packed run among `manifests`, those of all runs of its part. Returns `None` if the run is
/// not among them.
///
/// # Errors
/// Returns `Bcce.Internal` if the manifest cannot be parsed.
pub fn prove(manifests: &[u8], place: &PackedPlace) -> Result<Option<ProvenManifest>, Fault> {
    let key = place.batch.part_runs_key(place.part);
    // Most lines are those of other runs, so only a line with the id is parsed.
    let id = place.run_id.as_bytes();
    let has_id = |line: &[u8]| line.windows(id.len()).any(|part| part == id);
    for (at, line) in lines(manifests).enumerate().filter(|(_, line)| has_id(line)) {
        let manifest: Manifest = parse(&key, line)?;
        if manifest.run_id != place.run_id || manifest.attempt_no != place.attempt_no {
            continue;
        }
        let leaves = leaves(manifests);
        let proof = tree::proof(&leaves, at).unwrap_or_default();
        let (bytes, runs) = (line.to_vec(), leaves.len());
        return Ok(Some(ProvenManifest { manifest, bytes, at, runs, proof }));
    }
    Ok(None)
}

/// Returns the number of `manifests`, those of all runs of a part, and the root of the digest tree over them in
/// lower-case hex.
pub fn root(manifests: &[u8]) -> (u64, String) {
    let leaves = leaves(manifests);
    (leaves.len() as u64, hex::encode(tree::root(&leaves)))
}

fn leaves(manifests: &[u8]) -> Vec<Hash> {
    lines(manifests).map(tree::leaf).collect()
}

fn lines(manifests: &[u8]) -> impl Iterator<Item = &[u8]> {
    manifests.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
