//! In-memory ports for unit tests. The store and the signing key fail on request.

mod batches; // the ports of batches: objects that are replaced, and objects of other buckets
mod budgets; // the counters of budgets
mod parts; // the ledger's ports of packed batches
mod responses; // the response cache

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch::bulk::{Job, JobStart, NewJob};
use crate::call::response_cache::CachedResponse;
use crate::failover::latency::Histogram;
use crate::ports::{
    ClaimAlert, Clock, CommitCall, CountLatency, FindJob, GetObject, GetParameters, GetSealed,
    GiveUpAlert, ListCounters, ListObjects, ListParameters, LogCall, MoveMoney, NoteCache,
    NoteExceeded, Parameter, Put, PutOnce, PutSealed, ReadBreakers, ReadCaches, ReadCallLog,
    ReadCounter, ReadJob, ReadLatencies, ReserveCall, SealedObject, SetLimit, SignDigest, StartJob,
    StopJob, StoredBreaker, VerifyDigest, WriteBreaker,
};
use crate::run::budgets::{Alerted, CounterState, Limit, Move};
use crate::run::call_log::{LoggedCall, LoggedStep};
use crate::run::ids::{RunRef, StepRef};

pub use batches::MemorySources;
pub use budgets::MemoryCounters;
pub use parts::{MemoryLedger, PartRow};

/// A bucket in memory.
#[derive(Default)]
pub struct MemoryStore {
    pub objects: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The signatures of objects that were written with one, by key.
    pub signatures: RefCell<BTreeMap<String, Vec<u8>>>,
    /// The call that fails, counted from 1 for the next one. 0 if none fails.
    pub failing: Cell<u32>,
}

impl MemoryStore {
    /// Returns a store with these objects, by key.
    pub fn with(objects: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        Self { objects: RefCell::new(objects.into_iter().collect()), ..Self::default() }
    }

    /// Returns an object, parsed as JSON. Panics if it does not exist.
    pub fn json(&self, key: &str) -> serde_json::Value {
        let objects = self.objects.borrow();
        let body =
            objects.get(key).unwrap_or_else(|| panic!("{key} is not among {:?}", objects.keys()));
        serde_json::from_slice(body).unwrap()
    }

    /// Returns the lines of an object, each parsed as JSON. Panics if the object does not exist.
    pub fn lines(&self, key: &str) -> Vec<serde_json::Value> {
        let objects = self.objects.borrow();
        let body =
            objects.get(key).unwrap_or_else(|| panic!("{key} is not among {:?}", objects.keys()));
        let lines = std::str::from_utf8(body).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn fault(&self) -> Result<(), Fault> {
        let left = self.failing.get();
        self.failing.set(left.saturating_sub(1));
        match left {
            1 => Err(Fault::internal("the store fails on request")),
            _ => Ok(()),
        }
    }
}

impl GetObject for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.fault()?;
        Ok(self.objects.borrow().get(key).cloned())
    }
}

impl PutOnce for MemoryStore {
    async fn put_once(&self, key: &str, _id: &str, body: &[u8]) -> Result<Put, Fault> {
        self.fault()?;
        let mut objects = self.objects.borrow_mut();
        if objects.contains_key(key) {
            return Ok(Put::Existed);
        }
        objects.insert(key.to_owned(), body.to_vec());
        Ok(Put::Stored)
    }
}

impl PutSealed for MemoryStore {
    async fn put_sealed(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Put, Fault> {
        let put = self.put_once(key, id, body).await?;
        if put == Put::Stored {
            self.signatures.borrow_mut().insert(key.to_owned(), signature.to_vec());
        }
        Ok(put)
    }
}

impl GetSealed for MemoryStore {
    async fn get_sealed(&self, key: &str) -> Result<Option<SealedObject>, Fault> {
        let signature = self.signatures.borrow().get(key).cloned();
        Ok(self.get(key).await?.map(|body| SealedObject { body, signature }))
    }
}

/// A signing key whose signature over a digest is the digest itself. It counts its signatures and fails on request.
#[derive(Default)]
pub struct MemoryKey {
    pub signed: Cell<u32>,
    pub failing: Cell<bool>,
}

impl SignDigest for MemoryKey {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        if self.failing.replace(false) {
            return Err(Fault::internal("the key fails on request"));
        }
        self.signed.set(self.signed.get() + 1);
        Ok(digest.to_vec())
    }
}

impl VerifyDigest for MemoryKey {
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault> {
        Ok(digest == signature)
    }
}

impl ListObjects for MemoryStore {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        self.fault()?;
        Ok(self.objects.borrow().keys().filter(|key| key.starts_with(prefix)).cloned().collect())
    }
}

/// SSM parameters in memory, by name.
pub struct MemoryParameters(pub BTreeMap<String, String>);

impl GetParameters for MemoryParameters {
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, Parameter>, Fault> {
        let parameter =
            |name: &String| Some(Parameter { value: self.0.get(name)?.clone(), revision: 1 });
        let known = names.iter().filter_map(|name| Some((name.clone(), parameter(name)?)));
        Ok(known.collect())
    }
}

impl ListParameters for MemoryParameters {
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault> {
        let path = format!("{path}/");
        let below = self.0.iter().filter(|(name, _)| name.starts_with(&path));
        Ok(below.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// The part of a ledger that concerns targets, in memory.
#[derive(Default)]
pub struct MemoryHealth {
    /// The counters of budgets.
    pub counters: MemoryCounters,
    pub kept: RefCell<BTreeMap<String, StoredBreaker>>,
    /// True if every call fails.
    pub is_gone: Cell<bool>,
    /// The number of the next writes that lose a race.
    pub races: Cell<u32>,
    pub reads: Cell<u32>,
    pub latencies: RefCell<BTreeMap<String, Histogram>>,
    /// The targets that hold each cache, with the end of that time.
    pub caches: RefCell<BTreeMap<String, Vec<(String, OffsetDateTime)>>>,
    /// The entries of the response cache.
    pub responses: RefCell<BTreeMap<String, CachedResponse>>,
    /// The logged calls, in order.
    pub logged_calls: RefCell<Vec<LoggedStep>>,
}

impl MemoryHealth {
    fn answer(&self) -> Result<(), Fault> {
        if self.is_gone.get() {
            Err(Fault::internal("the ledger is unreachable on request"))
        } else {
            Ok(())
        }
    }
}

impl ReadBreakers for &MemoryHealth {
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault> {
        self.answer()?;
        self.reads.set(self.reads.get() + 1);
        let kept = self.kept.borrow();
        Ok(keys.iter().map(|key| kept.get(key).cloned().unwrap_or_default()).collect())
    }
}

impl WriteBreaker for &MemoryHealth {
    async fn write(
        &self,
        key: &str,
        read: &StoredBreaker,
        _now: OffsetDateTime,
    ) -> Result<bool, Fault> {
        self.answer()?;
        if self.races.get() > 0 {
            self.races.set(self.races.get() - 1);
            return Ok(false);
        }
        let mut kept = self.kept.borrow_mut();
        let current = kept.get(key).map_or(0, |kept| kept.revision);
        let is_current = current == read.revision;
        if is_current {
            let next = StoredBreaker { breaker: read.breaker.clone(), revision: current + 1 };
            kept.insert(key.to_owned(), next);
        }
        Ok(is_current)
    }
}

impl ReadLatencies for &MemoryHealth {
    async fn latencies(&self, keys: &[String], _slots: &[i64]) -> Result<Vec<Histogram>, Fault> {
        self.answer()?;
        let latencies = self.latencies.borrow();
        Ok(keys.iter().map(|key| latencies.get(key).copied().unwrap_or_default()).collect())
    }
}

impl CountLatency for &MemoryHealth {
    async fn count(
        &self,
        key: &str,
        _slot: i64,
        bucket: usize,
        _now: OffsetDateTime,
    ) -> Result<(), Fault> {
        self.answer()?;
        self.latencies.borrow_mut().entry(key.to_owned()).or_default().add(bucket, 1);
        Ok(())
    }
}

impl ReadCaches for &MemoryHealth {
    async fn caches(&self, cache: &str) -> Result<Vec<(String, OffsetDateTime)>, Fault> {
        self.answer()?;
        Ok(self.caches.borrow().get(cache).cloned().unwrap_or_default())
    }
}

impl NoteCache for &MemoryHealth {
    async fn note(&self, cache: &str, key: &str, until: OffsetDateTime) -> Result<(), Fault> {
        self.answer()?;
        let mut caches = self.caches.borrow_mut();
        caches.entry(cache.to_owned()).or_default().push((key.to_owned(), until));
        Ok(())
    }
}

impl LogCall for &MemoryHealth {
    async fn log_call(
        &self,
        _run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
    ) -> Result<(), Fault> {
        self.answer()?;
        let (step, item, call) = (step.step.clone(), step.item, call.clone());
        let logged = LoggedStep { step, item, call, is_committed: false };
        self.logged_calls.borrow_mut().push(logged);
        Ok(())
    }
}

impl ReserveCall for &MemoryHealth {
    async fn reserve_call(
        &self,
        _run: &RunRef,
        step: &StepRef,
        call: &LoggedCall,
        limits: &[Limit],
    ) -> Result<Vec<usize>, Fault> {
        self.answer()?;
        let short = self.counters.reserve(&call.reserved, limits);
        if short.is_empty() {
            let (step, item, call) = (step.step.clone(), step.item, call.clone());
            let logged = LoggedStep { step, item, call, is_committed: false };
            self.logged_calls.borrow_mut().push(logged);
        }
        Ok(short)
    }
}

impl CommitCall for &MemoryHealth {
    async fn commit_call(
        &self,
        _run: &RunRef,
        _step: &StepRef,
        call: &LoggedCall,
        actual: &[Decimal],
    ) -> Result<bool, Fault> {
        self.answer()?;
        let mut logged = self.logged_calls.borrow_mut();
        let Some(logged) = logged.iter_mut().find(|logged| logged.call == *call) else {
            return Ok(false);
        };
        if std::mem::replace(&mut logged.is_committed, true) {
            return Ok(false);
        }
        self.counters.commit(&call.reserved, actual);
        Ok(true)
    }
}

impl ReadCounter for &MemoryHealth {
    async fn counter(&self, counter: &str) -> Result<CounterState, Fault> {
        self.answer()?;
        Ok(self.counters.get(counter))
    }
}

impl SetLimit for &MemoryHealth {
    async fn set_limit(&self, limit: &Limit) -> Result<(), Fault> {
        self.answer()?;
        self.counters.set_limit(limit);
        Ok(())
    }
}

impl MoveMoney for &MemoryHealth {
    async fn move_money(&self, limit: &Limit, shard: u8, moved: &Move) -> Result<bool, Fault> {
        self.answer()?;
        Ok(self.counters.apply(limit, shard, moved))
    }
}

impl NoteExceeded for &MemoryHealth {
    async fn note_exceeded(&self, counter: &str, limit: Decimal) -> Result<(), Fault> {
        self.answer()?;
        self.counters.change(counter, |state| state.exceed(limit));
        Ok(())
    }
}

impl ListCounters for &MemoryHealth {
    async fn counter_values(&self, series: &str, window: &str) -> Result<Vec<String>, Fault> {
        self.answer()?;
        Ok(self.counters.values(series, window))
    }
}

impl ClaimAlert for &MemoryHealth {
    async fn claim_alert(&self, counter: &str, alert: &Alerted) -> Result<bool, Fault> {
        self.answer()?;
        Ok(self.counters.change(counter, |state| state.claim(alert)))
    }
}

impl GiveUpAlert for &MemoryHealth {
    async fn give_up_alert(&self, counter: &str, _: &Alerted) -> Result<(), Fault> {
        self.answer()?;
        self.counters
            .change(counter, |state| state.root.iter_mut().for_each(|root| root.alerted = None));
        Ok(())
    }
}

impl ReadCallLog for &MemoryHealth {
    async fn logged_calls(&self, _run: &RunRef) -> Result<Vec<LoggedStep>, Fault> {
        self.answer()?;
        Ok(self.logged_calls.borrow().clone())
    }
}

/// Bulk jobs in memory, with the states that a test sets.
#[derive(Default)]
pub struct MemoryJobs {
    /// The results of the next starts, in order. After that, each start returns a new job.
    pub starts: RefCell<VecDeque<Result<JobStart, Fault>>>,
    /// The jobs, by ARN.
    pub jobs: RefCell<BTreeMap<String, Job>>,
    pub started: RefCell<Vec<String>>,
    pub stopped: RefCell<Vec<String>>,
}

impl StartJob for MemoryJobs {
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault> {
        self.started.borrow_mut().push(job.name.to_owned());
        let arn =
            format!("arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/{}", job.name);
        let start = self.starts.borrow_mut().pop_front();
        start.unwrap_or(Ok(JobStart::Started { arn }))
    }
}

impl FindJob for MemoryJobs {
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault> {
        let jobs = self.jobs.borrow();
        Ok(jobs.keys().find(|arn| arn.ends_with(&format!("/{name}"))).cloned())
    }
}

impl ReadJob for MemoryJobs {
    async fn read_job(&self, arn: &str) -> Result<Job, Fault> {
        let job = self.jobs.borrow().get(arn).cloned();
        job.ok_or_else(|| Fault::internal(format!("there is no job {arn}")))
    }
}

impl StopJob for MemoryJobs {
    async fn stop_job(&self, arn: &str) -> Result<(), Fault> {
        self.stopped.borrow_mut().push(arn.to_owned());
        Ok(())
    }
}

/// A clock that always returns the same time.
pub struct StoppedClock(pub OffsetDateTime);

impl Clock for StoppedClock {
    fn now(&self) -> OffsetDateTime {
        self.0
    }
}

/// Returns the value of a future that uses fakes only. Panics if the future waits, which no fake does.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a fake never waits"),
    }
}
