//! Works off all items of a part, many at a time.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::{Pace, PackedRun, parse_segment};
use bcce_core::batch::reference::Place;
use bcce_core::batch::{BatchNotification, BatchProgress, Halt, Pause};
use bcce_core::io::objects;
use bcce_core::io::packed::StoredRuns;
use bcce_core::io::responses::NewResponse;
use bcce_core::io::step::{Reports, TakeReports};
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use time::OffsetDateTime;
use tokio::sync::Notify;

use crate::allowances::Allowances;
use crate::call_log::CallLog;
use crate::checkpoint::Segments;
use crate::orders::Orders;
use crate::owner::Ownership;
use crate::part::LoadedPart;
use crate::{Config, KeepParts, Ports, Request, Response};

/// The time of the function that is reserved for storing what is finished.
const MARGIN: Duration = Duration::from_secs(60);
/// The longest time until a paused part looks again whether a budget has money. Its limit may have been raised.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// The time that the execution of a batch may take, less a day to collect and seal.
const LONGEST_BATCH: Duration = Duration::from_secs(29 * 86_400);
/// The most bytes of items that are worked on at a time. Each is in memory several times.
const MOST_BYTES: u64 = 8 * 1_024 * 1_024;

/// The work on a part, as all of its items share it.
pub(crate) struct Work<'a, 'r, S, R, L, M, C, H, F> {
    pub ports: &'a Ports<S, R, L, M, C, H, F>,
    pub config: &'a Config,
    pub request: &'a Request,
    pub reports: &'r Reports<'a>,
    pub ownership: Ownership,
    pub part: LoadedPart,
    pub segments: Segments<'a>,
    pub stored: StoredRuns,
    pub call_log: CallLog,
    pub allowances: Allowances,
    /// The answers that enter the response cache when they are stored, by item number.
    pub responses: RefCell<BTreeMap<u64, Vec<NewResponse>>>,
    /// The pace of each target, by its key.
    pub paces: RefCell<BTreeMap<String, Pace>>,
    /// Notified when a call ends or an order arrives.
    pub changed: Notify,
    /// The runs of the part that are over.
    pub progress: RefCell<BatchProgress>,
    pub orders: RefCell<Orders>,
    /// The first fault that ends this invocation. No further call is started after it.
    pub trouble: RefCell<Option<Fault>>,
    /// The first fault of an item that could not be begun. It ends nothing, but a later invocation has to try again.
    pub unread: RefCell<Option<Fault>>,
    /// The time by which calls have to end.
    pub until: OffsetDateTime,
    /// The time after which no further item is started.
    pub last_start: OffsetDateTime,
    /// The times until which runs wait for their next decision.
    pub waits: RefCell<Vec<OffsetDateTime>>,
    /// True if all runs wait for long. They go on in a later invocation, so that no function is paid for waiting.
    pub is_suspended: Cell<bool>,
    /// True if a run goes on later for another reason than that it waits for money.
    is_interrupted: Cell<bool>,
    /// The pause until a budget has money again. No item is started before.
    pause: RefCell<Option<Pause>>,
    /// True if this invocation knows that the ledger has the halt of the batch, and who sends its notification.
    is_halt_recorded: Cell<bool>,
    notification: RefCell<Option<Box<BatchNotification>>>,
}

impl<'a, 'r, S, R, L, M, C, H, F> Work<'a, 'r, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Returns the work on a part that has been loaded.
    pub fn new(
        ports: &'a Ports<S, R, L, M, C, H, F>,
        config: &'a Config,
        request: &'a Request,
        ownership: Ownership,
        part: LoadedPart,
        reports: &'r Reports<'a>,
    ) -> Self {
        let now = ports.caller.clock.now();
        let time = request.remaining.saturating_sub(MARGIN);
        let segments =
            Segments::new(&request.batch.reference, request.part.part, part.next_segment);
        Self {
            ports,
            config,
            request,
            reports,
            ownership,
            segments,
            stored: StoredRuns::default(),
            call_log: CallLog::default(),
            allowances: Allowances::default(),
            responses: RefCell::default(),
            paces: RefCell::default(),
            changed: Notify::new(),
            progress: RefCell::new(part.progress.clone()),
            orders: RefCell::default(),
            trouble: RefCell::default(),
            unread: RefCell::default(),
            until: now + time,
            last_start: now + time / 2,
            waits: RefCell::default(),
            is_suspended: Cell::default(),
            is_interrupted: Cell::default(),
            pause: RefCell::default(),
            is_halt_recorded: Cell::default(),
            notification: RefCell::default(),
            part,
        }
    }

    /// Works off the part as far as the time reaches.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 or the ledger failed. What was finished before is stored if that is possible.
    pub async fn run(&self) -> Result<Response, Fault> {
        let (store, ledger) = (&self.ports.store, &self.ports.ledger);
        // Loading a part with many segments takes a while.
        let now = self.ports.caller.clock.now();
        self.ownership.keep(ledger, now, &self.part_progress()).await?;
        self.look().await?;
        // A batch may be halted already, or have failed too often before this invocation.
        self.halt_if_due().await?;
        let items = async {
            let left = self.items().await;
            self.segments.close();
            left
        };
        let write = async {
            let enter = |segment, responses| self.enter(segment, responses);
            let written = self.segments.write(store, &self.ports.caller.clock, enter).await;
            // What cannot be stored must not be paid.
            written.inspect_err(|fault| self.fail(fault.clone()))
        };
        let all = async { tokio::join!(items, write) };
        let (left, written) = tokio::select! {
            done = all => done,
            () = self.keep() => unreachable!("the part is kept until the work ends"),
            () = self.call_log.write(ledger, &self.ownership) => unreachable!("the call log is written until the work ends"),
        };
        written?;
        // The next owner of the part commits the rest.
        if let Err(fault) = self.allowances.finish(ledger, &self.ownership).await {
            self.fail(fault);
        }
        let progress = self.part_progress();
        self.ownership.give_up(ledger, self.ports.caller.clock.now(), &progress).await?;
        if let Some(fault) = self.trouble.take() {
            return Err(fault);
        }
        let left = left?;
        // Items that could not be begun hold up no other.
        let is_last = !left && !self.orders.borrow().starts_nothing();
        if let Some(fault) = self.unread.take().filter(|_| is_last) {
            return Err(fault);
        }
        Ok(self.response(left))
    }

    fn response(&self, is_left: bool) -> Response {
        let now = self.ports.caller.clock.now();
        let orders = self.orders.borrow();
        // Runs that wait for money go on no more in a batch that is halted.
        let is_halted =
            orders.starts_nothing() && self.paused().is_some() && !self.is_interrupted.get();
        if !is_left || orders.is_stopped() || is_halted {
            return Response::Over { notification: self.notification.take() };
        }
        let pause = self.paused().map(|pause| pause.until.min(now + LONGEST_PAUSE));
        let waits = || self.waits.borrow().iter().min().copied();
        let next = match pause {
            // A run that was interrupted goes on at once.
            Some(_) if self.is_interrupted.get() && !self.is_suspended.get() => None,
            Some(until) => Some(waits().map_or(until, |wait| wait.min(until))),
            None if self.is_suspended.get() => Some(waits().unwrap_or(now)),
            None => None,
        };
        let Some(next) = next else { return Response::Continue };
        Response::Waiting { wait_s: (next - now).whole_seconds().max(1).unsigned_abs() }
    }

    /// Works off the items. Returns whether any of them is left for a later invocation.
    async fn items(&self) -> Result<bool, Fault> {
        let mut due: VecDeque<&Place> = self.part.due.iter().collect();
        let mut running = FuturesUnordered::new();
        let (mut bytes, mut is_left) = (0, false);
        self.adopt().await?;
        loop {
            while let Some(&place) = due.front()
                && self.may_start(running.len(), bytes + self.part.size(place))
            {
                due.pop_front();
                let size = self.part.size(place);
                bytes += size;
                running.push(async move { (size, Box::pin(self.item(place)).await) });
            }
            self.orders.borrow_mut().running = running.len();
            let Some((size, run)) = running.next().await else { break };
            bytes -= size;
            let taken = match run {
                Ok(Some(run)) => self.take(run).await,
                Ok(None) => Ok(false),
                Err(fault) => Err(fault),
            };
            match taken {
                Ok(goes_on) => is_left |= goes_on,
                // The calls under way are awaited, since they are paid.
                Err(fault) => self.fail(fault),
            }
        }
        // Items that were not started because the batch is halted are not left for later.
        let is_halted = self.orders.borrow().starts_nothing();
        Ok(is_left || (!due.is_empty() && !is_halted))
    }

    /// Stores the runs that an earlier batch attempt has finished in a part that it never sealed.
    async fn adopt(&self) -> Result<(), Fault> {
        for (segment, items) in &self.part.adopted {
            let mut items = items.clone();
            let body = objects::bytes(&self.ports.store, segment).await?;
            for run in parse_segment(segment, &body)? {
                if run.is_over() && items.remove(&run.n) {
                    self.take(run).await?;
                }
            }
        }
        Ok(())
    }

    /// Returns whether a further item may be started beside `running` others.
    fn may_start(&self, running: usize, bytes: u64) -> bool {
        let now = self.ports.caller.clock.now();
        running < self.request.calls as usize
            && (running == 0 || bytes <= MOST_BYTES)
            && now < self.last_start
            && self.ownership.is_safe(now)
            && self.trouble.borrow().is_none()
            && !self.is_suspended.get()
            && self.paused().is_none()
            && !self.orders.borrow().starts_nothing()
    }

    /// Stores a run that is over or goes on later. Returns whether it goes on later.
    async fn take(&self, run: PackedRun) -> Result<bool, Fault> {
        let now = self.ports.caller.clock.now();
        let responses = self.responses.borrow_mut().remove(&run.n).unwrap_or_default();
        self.segments.add(&run, responses, now)?;
        if let Some(manifest) = run.manifest()? {
            self.progress.borrow_mut().count(&manifest);
            self.halt_if_due().await?;
        }
        let is_interrupted = !run.is_over() && run.waits_since.is_none();
        self.is_interrupted.set(self.is_interrupted.get() || is_interrupted);
        Ok(!run.is_over())
    }

    /// Pauses the part. No further item is started before the end of the pause.
    pub fn pause(&self, pause: Pause) {
        let mut known = self.pause.borrow_mut();
        if known.as_ref().is_none_or(|known| known.until < pause.until) {
            *known = Some(pause);
        }
    }

    /// Returns the pause of the part, if it is not over.
    pub fn paused(&self) -> Option<Pause> {
        let now = self.ports.caller.clock.now();
        self.pause.borrow().clone().filter(|pause| pause.until > now)
    }

    /// Returns the time by which the execution of the batch has to end.
    pub fn end(&self) -> OffsetDateTime {
        self.request.batch.started_at + LONGEST_BATCH
    }

    /// Returns the deadline of the batch.
    pub fn deadline(&self) -> OffsetDateTime {
        let end = self.end();
        self.part.stored.batch.deadline().map_or(end, |deadline| deadline.min(end))
    }

    /// Notes a fault that ends this invocation. The calls under way are awaited, since they are paid.
    pub fn fail(&self, fault: Fault) {
        self.trouble.borrow_mut().get_or_insert(fault);
        self.changed.notify_waiters();
    }

    /// Halts the batch if too many of its items have failed.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed.
    pub async fn halt_if_due(&self) -> Result<(), Fault> {
        let progress = self.orders.borrow().total(&self.progress.borrow());
        let at = self.ports.caller.clock.now();
        let due = || progress.too_much(self.request.tolerance).map(|because| Halt { at, because });
        let Some(halt) = progress.halted.clone().or_else(due) else { return Ok(()) };
        if self.is_halt_recorded.get() {
            return Ok(());
        }
        self.orders.borrow_mut().halted(halt.clone());
        let (batch, owner) = (self.request.batch.item_of(), &self.request.notification_owner);
        // An invocation before this one may have recorded the halt and ended before its response arrived.
        let should_notify = self.ports.ledger.halt(&batch, owner, &halt).await?;
        self.is_halt_recorded.set(true);
        if should_notify {
            let notification = BatchNotification::of_halt(&self.request.batch, &progress, halt);
            *self.notification.borrow_mut() = Some(Box::new(notification));
        }
        Ok(())
    }
}
