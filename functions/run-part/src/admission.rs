//! The point that every call of the part passes before it is made. It keeps the pace of the target and the orders of
//! others, and records the call in the ledger.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::batch::Pause;
use bcce_core::batch::packed::{Pace, StartedCall, Wait};
use bcce_core::call::attempt::Attempt;
use bcce_core::failover::breaker::target_key;
use bcce_core::io::budgets::{Shortage, without_price};
use bcce_core::io::step::{Admission, Admitted, CallSize, FinishedCall, StepWork, TakeReports};
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::budgets::{ToReserve, spent};
use bcce_core::run::call_log::LoggedCall;
use rust_decimal::Decimal;
use time::OffsetDateTime;

use crate::KeepParts;
use crate::allowances::{Share, Taken};
use crate::work::Work;

/// The time after which a call asks again for money that other calls of this part may give back.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// The shortest and the longest pause of a part until it asks again for money that other functions have reserved. The
/// shortest is long enough to leave the waiting to the state machine. A part may be invoked 2,000 times, which must
/// last for as long as its batch.
const PAUSES: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(1_500));

/// The admission of the calls of one step.
pub(crate) struct ItemAdmission<'w, W> {
    pub work: &'w W,
    /// The number of the item in the batch.
    pub n: u64,
    /// The time for which the run has waited for money.
    waited: Duration,
    /// True if the last call was not admitted because the decision about it is out of date.
    pub is_outdated: Cell<bool>,
    /// The time until which the call waits, if it was not admitted because budgets cannot pay it now.
    pub waits_until: Cell<Option<OffsetDateTime>>,
    /// What the call under way has taken of an allowance.
    share: RefCell<Option<Share>>,
}

impl<'w, W> ItemAdmission<'w, W> {
    /// Creates the admission for a step of the item `n`.
    pub fn new(work: &'w W, n: u64, waited: Duration) -> Self {
        let (is_outdated, waits_until) = (Cell::default(), Cell::default());
        Self { work, n, waited, is_outdated, waits_until, share: RefCell::default() }
    }
}

/// The answer of the budgets to a call.
enum Funds {
    /// No budget pays the call.
    NotNeeded,
    Share(Share),
    /// The call waits until this time, for calls under way or for the next window of a budget.
    Later(OffsetDateTime),
    Refused(Fault),
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

impl<S, R, L, M, C, H, F> ItemAdmission<'_, Work<'_, '_, S, R, L, M, C, H, F>>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Takes the worst case of a call from an allowance of the part.
    async fn funds(
        &self,
        step: &StepWork<'_>,
        target: &Target,
        CallSize { bytes, max_tokens }: CallSize,
        at: OffsetDateTime,
    ) -> Result<Funds, Fault> {
        let budgets = step.plan.budgets.as_ref().filter(|all| !all.applied.is_empty());
        let Some(budgets) = budgets else { return Ok(Funds::NotNeeded) };
        let most = step.plan.most_of_call(step.step, target, at, bytes, max_tokens);
        let need = match ToReserve::of(budgets, &step.decided.run.run_id, at, &most) {
            Ok(need) if need.amounts.is_empty() => return Ok(Funds::NotNeeded),
            Ok(need) => need,
            Err(budget) => return Ok(Funds::Refused(without_price(&budget, target))),
        };
        let Work { ports, ownership, allowances, request, .. } = self.work;
        let taken = allowances.take(&ports.ledger, ownership, &need, request.calls, at).await?;
        let of = |shortage: &Shortage| &budgets.applied[need.places[shortage.at]];
        Ok(match taken {
            Taken::Share(share) => Funds::Share(share),
            Taken::Contended => Funds::Later(at + ASK_AGAIN),
            Taken::Busy(shortage) if allowances.hold(&need.limits[shortage.at].counter) => {
                Funds::Later(at + ASK_AGAIN)
            }
            Taken::Busy(shortage) => {
                let error = shortage.error(of(&shortage));
                let until = at + (self.waited / 4).clamp(PAUSES.0, PAUSES.1);
                // A longer pause of other items holds for this one, too.
                let paused = self.work.paused().map_or(until, |pause| pause.until.max(until));
                // The deadline of a batch ends its jobs, and not what runs on demand after them.
                self.pause_or_refuse(Some(paused), self.work.end(), error)
            }
            Taken::Exceeded(shortage) => {
                let budget = of(&shortage);
                // No window has room for a call that needs more than the limit.
                let fits = shortage.needed <= shortage.limit;
                let next = budget.window.next(at).filter(|_| fits);
                self.pause_or_refuse(next, self.work.deadline(), shortage.error(budget))
            }
        })
    }

    /// Pauses the part until a time, if it is before `end`. Otherwise the call is refused.
    fn pause_or_refuse(
        &self,
        until: Option<OffsetDateTime>,
        end: OffsetDateTime,
        error: Fault,
    ) -> Funds {
        let Some(until) = until.filter(|until| *until < end) else {
            return Funds::Refused(error);
        };
        self.work.pause(Pause { until, because: error.message });
        Funds::Later(until)
    }

    /// Records a call in the call log. Returns `false` if it may not be made any more.
    async fn record(
        &self,
        step: &StepWork<'_>,
        target: &Target,
        at: OffsetDateTime,
    ) -> Result<bool, Fault> {
        let work = self.work;
        let share = self.share.borrow().clone();
        let (allowance, reserved) = share.map(|share| (share.allowance, share.reserved)).unzip();
        let call = LoggedCall {
            reserved: reserved.unwrap_or_default(),
            ..LoggedCall::new(at, target.clone())
        };
        let (n, of) = (self.n, step.decided.reference.step.clone());
        work.call_log.record(StartedCall { n, step: of, allowance, call }).await?;
        // The record may have taken a while. A call that is recorded and not made counts as lost only if another
        // invocation takes the part over.
        let now = work.ports.caller.clock.now();
        Ok(work.may_go_on(&step.decided.run.run_id) && work.ownership.is_safe(now))
    }

    /// Takes back a call that is not made.
    fn take_back(&self, target: &Target) {
        self.work.with_pace(&target_key(target), Pace::give_back);
        if let Some(share) = self.share.take() {
            let nothing = vec![Decimal::ZERO; share.reserved.len()];
            self.work.allowances.give_back(&share, &nothing);
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
        size: CallSize,
    ) -> Result<Admitted, Fault> {
        let (work, clock) = (self.work, &self.work.ports.caller.clock);
        self.waits_until.set(None);
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
        let recorded = match self.funds(step, target, size, now).await {
            Ok(Funds::NotNeeded) => self.record(step, target, now).await,
            Ok(Funds::Share(share)) => {
                self.share.replace(Some(share));
                self.record(step, target, now).await
            }
            Ok(Funds::Later(until)) => {
                self.waits_until.set(Some(until));
                Ok(false)
            }
            Ok(Funds::Refused(error)) => {
                work.with_pace(&key, Pace::give_back);
                return Ok(Admitted::Refused(error));
            }
            Err(fault) => Err(fault),
        };
        if let Ok(true) = recorded {
            return Ok(Admitted::At(now));
        }
        self.take_back(target);
        // The attempts of the step are stored, since they are paid.
        recorded.map_or_else(|fault| work.fail(fault), drop);
        Ok(Admitted::NotNow)
    }

    fn not_made(&self, _: &StepWork<'_>, target: &Target) {
        self.take_back(target);
    }

    fn ended(&self, _: &StepWork<'_>, call: &FinishedCall<'_>) -> bool {
        let now = self.work.ports.caller.clock.now();
        let key = target_key(&call.attempt.target);
        if let Some(share) = self.share.take() {
            let Attempt { cost_usd, usage, .. } = call.attempt;
            let spent = spent(&share.reserved, *cost_usd, usage.as_ref());
            self.work.allowances.give_back(&share, &spent);
        }
        self.work.with_pace(&key, |pace| pace.end(call.attempt, now)).unwrap_or(true)
    }
}
