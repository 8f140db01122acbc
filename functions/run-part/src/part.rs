//! Loads a part: its items, the configuration that they are planned from, and what earlier invocations have stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::packed::{PackedPlace, PackedRun, Stage, StartedCall};
use bcce_core::batch::reference::{BatchRef, Place};
use bcce_core::batch::{BatchProgress, Entry, Item, StoredBatch};
use bcce_core::config::configuration::Configuration;
use bcce_core::io::objects;
use bcce_core::io::packed::{JobRecords, Segments, StoredRun, commit_left, fence};
use bcce_core::ports::{
    Clock, CommitAllowance, GetObject, ListObjects, PartOf, PutOnce, ReadAttempts, ReadPartCalls,
};

use crate::owner::Ownership;
use crate::{KeepParts, Ports, Request, due};

/// A part with everything that its items need.
pub(crate) struct LoadedPart {
    pub stored: StoredBatch,
    pub configuration: Configuration,
    /// The lines of the part's items, which are parsed when they are started.
    lines: Vec<u8>,
    /// The items that are not over, in the order of the source.
    pub due: Vec<Place>,
    /// The runs that are stored and not over, by item number.
    pub under_way: BTreeMap<u64, StoredRun>,
    /// The runs of earlier run attempts, by item number. An item that is retried keeps their plans and answers.
    pub before: BTreeMap<u64, StoredRun>,
    /// The items whose runs were retried with executions of their own. Those may have further answers.
    pub retried_alone: BTreeSet<u64>,
    /// The segments with runs that an earlier batch attempt has finished in a part that it never sealed, and the items
    /// of these runs. This attempt stores and counts them.
    pub adopted: BTreeMap<String, BTreeSet<u64>>,
    /// The calls that earlier owners have started for items that are not over, by item number.
    pub started: HashMap<u64, Vec<StartedCall>>,
    /// The runs that are over.
    pub progress: BatchProgress,
    /// The number of the next segment.
    pub next_segment: u32,
}

impl LoadedPart {
    /// Loads a part. If another invocation owned it before, makes sure that the other one can write nothing any more.
    pub async fn load<S, R, L, M, C, H, F>(
        ports: &Ports<S, R, L, M, C, H, F>,
        request: &Request,
        ownership: &Ownership,
    ) -> Result<Self, Fault>
    where
        S: GetObject + PutOnce + ListObjects,
        L: KeepParts,
        C: Clock,
    {
        let (store, batch, part) = (&ports.store, &request.batch.reference, request.part.part);
        if !ownership.is_first {
            fence(store, batch, part, &ownership.owner).await?;
        }
        let segments = Segments::list(store, batch, part).await?;
        let due = due::places(store, batch, part, request.mode).await?;
        let mut loaded = Self {
            stored: objects::read(store, &batch.request_key()).await?,
            configuration: objects::read(store, &batch.configuration_key()).await?,
            lines: objects::bytes(store, &batch.part_key(part)).await?,
            due,
            under_way: BTreeMap::new(),
            before: BTreeMap::new(),
            retried_alone: BTreeSet::new(),
            adopted: BTreeMap::new(),
            started: HashMap::new(),
            progress: BatchProgress::default(),
            next_segment: segments.next(),
        };
        let is_new = loaded.read(store, &segments).await? == 0;
        loaded.skip_those_with_executions(ports, batch).await?;
        let places = loaded.packed_places(batch, part)?;
        loaded.find_before(store, &ports.ledger, batch, part).await?;
        if ownership.is_first || is_new {
            ports.ledger.place_runs(&places).await?;
        }
        if !ownership.is_first {
            let (ledger, of) = (&ports.ledger, &ownership.part);
            let calls = ledger.part_calls(of).await?;
            commit_left(store, ledger, of, &segments, (&calls, JobRecords::Leave)).await?;
            for call in calls.started {
                loaded.started.entry(call.n).or_default().push(call);
            }
        }
        Ok(loaded)
    }

    /// Reads what is stored of the part. Returns the number of runs.
    async fn read(&mut self, store: &impl GetObject, segments: &Segments) -> Result<usize, Fault> {
        let (mut over, progress) = (BTreeSet::new(), &mut self.progress);
        let count = |run: &PackedRun| {
            if run.is_over()
                && over.insert(run.n)
                && let Some(manifest) = run.manifest()?
            {
                progress.count(&manifest);
            }
            Ok(true)
        };
        let stored = segments.places(store, count).await?;
        let runs = stored.len();
        self.under_way = stored.into_iter().filter(|(_, run)| run.stage != Stage::Over).collect();
        self.due.retain(|place| !over.contains(&place.n));
        Ok(runs)
    }

    /// Leaves out retried items whose run attempt has an execution of its own. A person has retried such a run.
    async fn skip_those_with_executions<S, R, L: ReadAttempts, M, C, H, F>(
        &mut self,
        ports: &Ports<S, R, L, M, C, H, F>,
        batch: &BatchRef,
    ) -> Result<(), Fault> {
        let retried: Vec<Place> =
            self.due.iter().filter(|place| place.attempt_no > 1).copied().collect();
        for place in retried {
            let run = self.item(&place)?.run(batch, place.attempt_no);
            let attempts = ports.ledger.attempts(&run.run_id).await?;
            if attempts.iter().any(|record| record.attempt_no >= place.attempt_no) {
                self.due.retain(|due| due.n != place.n);
            } else if !attempts.is_empty() {
                self.retried_alone.insert(place.n);
            }
        }
        Ok(())
    }

    /// Finds the runs of this part from the attempts before this one, the latest first. A retried item keeps what its
    /// last run attempt has. A run attempt of a part that was never sealed goes on as it is.
    async fn find_before<L: ReadPartCalls + CommitAllowance>(
        &mut self,
        store: &(impl GetObject + ListObjects),
        ledger: &L,
        batch: &BatchRef,
        part: u32,
    ) -> Result<(), Fault> {
        let due: BTreeMap<u64, u32> =
            self.due.iter().map(|place| (place.n, place.attempt_no)).collect();
        let mut adopted = BTreeSet::new();
        for attempt in batch.before() {
            let segments = Segments::list(store, &attempt, part).await?;
            for (n, run) in segments.places(store, |run| Ok(due.contains_key(&run.n))).await? {
                let is_same = due.get(&n) == Some(&run.attempt_no);
                match (is_same, run.stage) {
                    (true, Stage::Over) if adopted.insert(n) => {
                        self.adopted.entry(run.segment).or_default().insert(n);
                    }
                    (true, Stage::Over) => {}
                    (true, _) => drop(self.under_way.entry(n).or_insert(run)),
                    // A run that collect-part closed by its call log alone has no plan.
                    (false, _) if run.has_plan => drop(self.before.entry(n).or_insert(run)),
                    (false, _) => {}
                }
            }
            // The calls of a part that was sealed are counted, and so are those of run attempts before this one.
            if store.get(&attempt.part_manifest_key(part)).await?.is_none() {
                let places = objects::find_lines::<Place>(store, &attempt.places_key(part)).await?;
                let ran = |place: &Place| due.get(&place.n) == Some(&place.attempt_no);
                let ran: BTreeSet<u64> =
                    places.into_iter().flatten().filter(ran).map(|place| place.n).collect();
                let part = PartOf { batch: attempt.item_of(), part };
                let calls = ledger.part_calls(&part).await?;
                let job = JobRecords::Untaken { is_started: true };
                commit_left(store, ledger, &part, &segments, (&calls, job)).await?;
                for call in calls.started.into_iter().filter(|call| ran.contains(&call.n)) {
                    self.started.entry(call.n).or_default().push(call);
                }
            }
        }
        self.due.retain(|place| !adopted.contains(&place.n));
        Ok(())
    }

    fn packed_places(&self, batch: &BatchRef, part: u32) -> Result<Vec<PackedPlace>, Fault> {
        let place = |place: &Place| {
            let run = self.item(place)?.run(batch, place.attempt_no);
            Ok(PackedPlace {
                run_id: run.run_id,
                attempt_no: place.attempt_no,
                batch: batch.clone(),
                part,
                n: place.n,
            })
        };
        self.due.iter().map(place).collect()
    }

    /// Returns the number of bytes of an item. An object counts with its own size, since it is read when the item is
    /// started.
    pub fn size(&self, place: &Place) -> u64 {
        let object = self.item(place).ok().and_then(|item| item.object);
        object.map_or(place.bytes, |object| object.bytes)
    }

    /// Returns the item at a place.
    ///
    /// # Errors
    /// `Bcce.Internal`: the item is not at its place.
    pub fn item(&self, place: &Place) -> Result<Item, Fault> {
        let wrong = || Fault::internal(format!("item {} is not at its place in the part", place.n));
        let (from, bytes) = (usize::try_from(place.at), usize::try_from(place.bytes));
        let (Ok(from), Ok(bytes)) = (from, bytes) else { return Err(wrong()) };
        let line = self.lines.get(from..from + bytes).ok_or_else(wrong)?;
        match parse::<Entry>("a line of the part", line)? {
            Entry::Item(item) if item.n == place.n => Ok(*item),
            _ => Err(wrong()),
        }
    }
}
