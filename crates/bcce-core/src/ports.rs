//! What touches the world, one method each, in our own types. `bcce-aws` has the adapters, `fakes`
//! the in-memory ones.
//!
//! Every port fails with `Bcce.Internal` after the adapter's own retries: the caller gives up and is
//! tried again by what called it.
#![allow(async_fn_in_trait)] // the callers are our own functions, on one thread each

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::base::error::Fault;
use crate::batch;
use crate::batch::bulk::{Job, JobStart, NewJob};
use crate::batch::reference::BatchRef;
use crate::batch::{BatchProgress, Halt, Location};
use crate::call::model::{CallReport, ModelCall};
use crate::failover::breaker::Breaker;
use crate::failover::latency::Histogram;
use crate::ledger::{ClosedBatch, ClosedRun, OpenedBatch, OpenedRun, RunRecord};
use crate::run::artifact::ArtifactRef;
use crate::run::call_log::{LoggedCall, LoggedStep};
use crate::run::ids::{ItemOf, RunRef, StepRef};
use crate::run::notice::RunNotice;
use crate::run::slots::{Lane, Slot};

pub trait GetObject {
    /// The object's bytes, checked against the digest it was stored with; `None`: there is none.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait PutOnce {
    /// Writes the object if there is none. `run_id` goes into the encryption context.
    async fn put_once(&self, key: &str, run_id: &str, body: &[u8]) -> Result<Put, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Stored,
    Existed,
}

pub trait PutSealed {
    /// Writes the object with its signature if there is none, both or neither. `id` goes into the encryption context.
    async fn put_sealed(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Put, Fault>;
}

pub trait GetSealed {
    /// As [`GetObject`], with the signature that the object was written with.
    async fn get_sealed(&self, key: &str) -> Result<Option<SealedObject>, Fault>;
}

/// An object with the signature that was written with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedObject {
    pub body: Vec<u8>,
    /// `None`: it was written without one.
    pub signature: Option<Vec<u8>>,
}

pub trait ListObjects {
    /// The keys below `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault>;
}

pub trait GetParameters {
    /// The parameters that exist, by name.
    async fn parameters(&self, names: &[String]) -> Result<BTreeMap<String, String>, Fault>;
}

pub trait ListParameters {
    /// Names and values below `path`.
    async fn below(&self, path: &str) -> Result<BTreeMap<String, String>, Fault>;
}

pub trait StartRun {
    async fn start(&self, run: &RunRef) -> Result<Started, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// The execution is running. This call has started it, or an earlier one with the same input.
    Running { since: OffsetDateTime },
    /// An execution of that name is over, or has another input.
    Existed,
    /// Too many starts just now; nothing is wrong with the message.
    Throttled,
}

pub trait Publish {
    async fn publish(&self, notice: &RunNotice) -> Result<(), Fault>;
}

pub trait DeadLetter {
    async fn dead_letter(&self, letter: &Letter<'_>) -> Result<(), Fault>;
}

/// A message that is no request, as it came, with why.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    pub body: &'a str,
    pub tenant: &'a str,
    pub request_id: &'a str,
    pub reason: &'a Fault,
}

pub trait SendRequest {
    /// Puts a request on the inbox of a tenant; `None` is the default one.
    async fn send(&self, tenant: Option<&str>, body: &str) -> Result<Sent, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted,
    /// Too many messages just now; nothing is wrong with this one.
    Throttled,
    /// The tenant has no inbox.
    NoInbox,
}

pub trait Postpone {
    /// Makes a message visible again after `delay`, instead of after the queue's whole timeout.
    async fn postpone(&self, queue_arn: &str, receipt: &str, delay: Duration) -> Result<(), Fault>;
}

pub trait SendAgain {
    /// Puts a copy of a message on its queue, which shows it after `delay` (at most 900 s). The copy carries
    /// `request_id`, and nobody has received it yet.
    async fn send_again(
        &self,
        queue_arn: &str,
        body: &str,
        request_id: &str,
        delay: Duration,
    ) -> Result<(), Fault>;
}

pub trait ListSlots {
    /// Slots of a tenant that are held at `now`.
    async fn slots(
        &self,
        lane: Lane,
        tenant: &str,
        now: OffsetDateTime,
    ) -> Result<Vec<Slot>, Fault>;
}

pub trait TakeSlot {
    /// Returns whether the slot is new: `false` means that its holder has one.
    async fn take_slot(&self, lane: Lane, tenant: &str, slot: &Slot) -> Result<bool, Fault>;
}

pub trait ReleaseSlot {
    /// Releases the slot of an execution. Safe to repeat, also where there is none.
    async fn release_slot(&self, lane: Lane, tenant: &str, holder: &str) -> Result<(), Fault>;
}

pub trait SignDigest {
    /// A DER-encoded ECDSA P-256 signature over a SHA-256 digest.
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault>;
}

pub trait VerifyDigest {
    /// Returns whether it is this key's signature over a SHA-256 digest.
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault>;
}

pub trait OpenRun {
    /// Records that a run is under way; a second time changes nothing.
    async fn open(&self, run: &OpenedRun) -> Result<Opened, Fault>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Now, or by an earlier call for the same execution.
    Open,
    /// The attempt is over and counted: Step Functions forgets an execution's name after 90 days, the
    /// ledger does not.
    Over,
}

pub trait CloseRun {
    /// Closes the run record and adds its usage to the counters, in one transaction.
    async fn close(&self, run: &ClosedRun) -> Result<Closed, Fault>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    Now,
    /// By an earlier call; nothing was added.
    Before {
        /// The execution that did it and so tells of it.
        notification_owner: Option<String>,
    },
}

pub trait StartBatch {
    async fn start_batch(&self, batch: &BatchRef) -> Result<Started, Fault>;
}

pub trait OpenBatch {
    /// Records that an attempt at a batch is under way; a second time changes nothing.
    async fn open_batch(&self, batch: &OpenedBatch) -> Result<Opened, Fault>;
}

pub trait CloseBatch {
    /// Closes the record of an attempt at a batch.
    async fn close_batch(&self, batch: &ClosedBatch) -> Result<Closed, Fault>;

    /// Makes `to` the notification_owner of a batch in place of `from`; `false`: it is another's by now.
    async fn take_batch_over(&self, batch: &BatchRef, from: &str, to: &str) -> Result<bool, Fault>;
}

pub trait ReadBatchProgress {
    /// What of an attempt at a batch is over.
    async fn batch_progress(&self, batch: &ItemOf) -> Result<BatchProgress, Fault>;
}

pub trait HaltBatch {
    /// Notes that no further item is started; `true`: it is `notification_owner` who tells of it.
    async fn halt(
        &self,
        batch: &ItemOf,
        notification_owner: &str,
        halt: &Halt,
    ) -> Result<bool, Fault>;
}

pub trait ReadAttempts {
    /// Every attempt at a run, oldest first.
    async fn attempts(&self, run_id: &str) -> Result<Vec<RunRecord>, Fault>;
}

pub trait PutObject {
    /// Writes an object of a batch over whatever is there. `batch_id` goes into the encryption context.
    async fn put(&self, key: &str, batch_id: &str, body: Vec<u8>) -> Result<(), Fault>;
}

pub trait GetRange {
    /// So many bytes of an object from one on; `None`: there is none.
    async fn range(&self, key: &str, at: u64, bytes: u64) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait Concatenate {
    /// Writes `keys`, one after the other, as the object `to`; those that do not exist are nothing. Memory is that of
    /// a few megabytes.
    async fn concatenate(
        &self,
        keys: &[String],
        to: &str,
        batch_id: &str,
    ) -> Result<ArtifactRef, Fault>;
}

/// An object of any bucket, read from its beginning.
pub trait OpenSource {
    type Body: NextBytes;
    /// `None`: there is none, or another one than `etag`.
    async fn open(
        &self,
        location: &Location,
        etag: Option<&str>,
    ) -> Result<Option<SourceObject<Self::Body>>, Fault>;
}

/// An object as it was found.
#[derive(Clone, Debug)]
pub struct SourceObject<B> {
    pub etag: String,
    pub bytes: u64,
    pub body: B,
}

pub trait NextBytes {
    /// `None`: the end.
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault>;
}

pub trait ListSource {
    /// Objects below a prefix of any bucket in the order of their keys, a page at a time; `from`: where the page before
    /// said that the next one is.
    async fn page(&self, prefix: &Location, from: Option<&str>) -> Result<Page, Fault>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<batch::item::Object>,
    /// `None`: there is no further one.
    pub next: Option<String>,
}

pub trait TakeOver {
    /// Makes `to` the notification_owner of a run in place of `from`; `false`: it is another's by now.
    async fn take_over(&self, run: &RunRef, from: &str, to: &str) -> Result<bool, Fault>;
}

/// A breaker, and how often it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredBreaker {
    pub breaker: Breaker,
    /// 0: it never was.
    pub revision: u64,
}

pub trait ReadBreakers {
    /// The breakers of targets, by key and in the order of the keys. One that is not there is as new.
    async fn read(&self, keys: &[String]) -> Result<Vec<StoredBreaker>, Fault>;
}

pub trait WriteBreaker {
    /// Writes a breaker that was read with `kept.revision`; `false`: another has written since.
    async fn write(
        &self,
        key: &str,
        kept: &StoredBreaker,
        now: OffsetDateTime,
    ) -> Result<bool, Fault>;
}

pub trait ReadLatencies {
    /// How long targets took in the slots, by key and in the order of the keys.
    async fn latencies(&self, keys: &[String], slots: &[i64]) -> Result<Vec<Histogram>, Fault>;
}

pub trait CountLatency {
    /// Counts one call of a target.
    async fn count(
        &self,
        key: &str,
        slot: i64,
        bucket: usize,
        now: OffsetDateTime,
    ) -> Result<(), Fault>;
}

pub trait ReadCaches {
    /// The targets, by key, whose prompt cache holds what is known under `cache`, and until when.
    async fn caches(&self, cache: &str) -> Result<Vec<(String, OffsetDateTime)>, Fault>;
}

pub trait NoteCache {
    /// Notes that a target's prompt cache holds what is known under `cache`.
    async fn note(&self, cache: &str, key: &str, until: OffsetDateTime) -> Result<(), Fault>;
}

pub trait LogCall {
    /// Notes that a call of a step begins; noted twice it is noted once.
    async fn log_call(&self, run: &RunRef, step: &StepRef, call: &LoggedCall) -> Result<(), Fault>;
}

pub trait ReadCallLog {
    /// What this attempt at a run has begun.
    async fn logged_calls(&self, run: &RunRef) -> Result<Vec<LoggedStep>, Fault>;
}

pub trait StartJob {
    async fn start_job(&self, job: &NewJob<'_>) -> Result<JobStart, Fault>;
}

pub trait FindJob {
    /// The ARN of the job of this name; `None`: there is none that can be seen.
    async fn find_job(&self, name: &str) -> Result<Option<String>, Fault>;
}

pub trait ReadJob {
    async fn read_job(&self, arn: &str) -> Result<Job, Fault>;
}

pub trait StopJob {
    /// It is `Stopping` then, and over a while later. One that cannot be stopped, now or any more, stays as it is:
    /// how that is tells `ReadJob`.
    async fn stop_job(&self, arn: &str) -> Result<(), Fault>;
}

pub trait Clock {
    fn now(&self) -> OffsetDateTime;
}

pub trait CallModel {
    async fn call(&self, call: &ModelCall<'_>) -> CallReport;
}
