//! The point that every call of the part passes before it is made. It keeps the pace of the target and the orders of
//! others, and records the call in the ledger.

use std::cell::Cell;

use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::batch::packed::{Pace, StartedCall, Wait};
use bcce_core::failover::breaker::target_key;
use bcce_core::io::step::{Admission, Admitted, CallSize, FinishedCall, StepWork, TakeReports};
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::call_log::LoggedCall;
use time::OffsetDateTime;

use crate::KeepParts;
use crate::work::Work;

/// The admission of the calls of one step.
pub(crate) struct ItemAdmission<'w, W> {
    pub work: &'w W,
    /// The number of the item in the batch.
    pub n: u64,
    /// True if the last call was not admitted because the decision about it is out of date.
    pub is_outdated: Cell<bool>,
}

impl<S, R, L, M, C, H, F> Work<'_, '_, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Returns whether a run may go on in this invocation.
    pub fn may_go_on(&self, run_id: &str) -> bool {
        let orders = self.orders.borrow();
        let now = self.ports.caller.clock.now();
        self.trouble.borrow().is_none()
            && !self.is_suspended.get()
            && !orders.is_stopped()
            && !orders.is_cancelled(run_id)
            && now < self.until
    }

    /// Starts a call in the pace of its target, or returns what to wait for.
    fn start(&self, key: &str, now: OffsetDateTime) -> Result<(), Wait> {
        let mut paces = self.paces.borrow_mut();
        let pace = paces.entry(key.to_owned()).or_insert_with(|| Pace::new(self.request.calls));
        pace.start(now)
    }

    fn with_pace<T>(&self, key: &str, change: impl FnOnce(&mut Pace) -> T) -> Option<T> {
        let changed = self.paces.borrow_mut().get_mut(key).map(change);
        self.changed.notify_waiters();
        changed
    }

    /// Waits until something changes, or until the end of a pause.
    async fn wait(&self, wait: Wait) {
        let changed = self.changed.notified();
        match wait {
            Wait::ForACall => changed.await,
            Wait::Until(until) => {
                let left = until - self.ports.caller.clock.now();
                let _ = tokio::time::timeout(left.try_into().unwrap_or_default(), changed).await;
            }
        }
    }
}

impl<S, R, L, M, C, H, F> Admission for ItemAdmission<'_, Work<'_, '_, S, R, L, M, C, H, F>>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    async fn admit(
        &self,
        step: &StepWork<'_>,
        target: &Target,
        _: CallSize,
    ) -> Result<Admitted, Fault> {
        let (work, clock) = (self.work, &self.work.ports.caller.clock);
        let (run_id, key) = (&step.decided.run.run_id, target_key(target));
        while let Err(wait) = work.start(&key, clock.now()) {
            work.wait(wait).await;
            if !work.may_go_on(run_id) || step.time_at(clock.now()).is_none() {
                return Ok(Admitted::NotNow);
            }
        }
        let now = clock.now();
        let is_safe = work.may_go_on(run_id) && work.ownership.is_safe(now);
        self.is_outdated.set(!step.may_call(&work.ports.caller.health, target, now).await);
        if !is_safe || self.is_outdated.get() || step.time_at(now).is_none() {
            work.with_pace(&key, Pace::give_back);
            return Ok(Admitted::NotNow);
        }
        let call = LoggedCall::new(now, target.clone());
        let step = step.decided.reference.step.clone();
        if let Err(fault) = work.call_log.record(StartedCall { n: self.n, step, call }).await {
            work.with_pace(&key, Pace::give_back);
            work.fail(fault);
            return Ok(Admitted::NotNow);
        }
        // The record may have taken a while. A call that is recorded and not made counts as lost only if another
        // invocation takes the part over.
        if !work.may_go_on(run_id) || !work.ownership.is_safe(clock.now()) {
            work.with_pace(&key, Pace::give_back);
            return Ok(Admitted::NotNow);
        }
        Ok(Admitted::At(now))
    }

    fn ended(&self, _: &StepWork<'_>, call: &FinishedCall<'_>) -> bool {
        let now = self.work.ports.caller.clock.now();
        let key = target_key(&call.attempt.target);
        self.work.with_pace(&key, |pace| pace.end(call.attempt, now)).unwrap_or(true)
    }
}
