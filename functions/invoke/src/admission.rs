//! Admits each call as soon as its cost is reserved, and adds it to the call log. If the function ends before it stores
//! the attempt, the call log shows the lost call, with what it has reserved.
//!
//! Without a budget, the call is logged while it is made. With one, the reservation and the entry of the call log are
//! one transaction before the call.

use std::cell::RefCell;
use std::time::Duration;

use bcce_core::base::digest::sha256;
use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::call::attempt::Attempt;
use bcce_core::config::budgets::AppliedBudgets;
use bcce_core::io::budgets::{Reservation, reserve, without_price};
use bcce_core::io::step::{Admission, Admitted, CallSize, Caller, FinishedCall, Reports, StepWork};
use bcce_core::ports::{BudgetLedger, Clock, LogCall, ReadBreakers};
use bcce_core::run::budgets::{Reserved, ToReserve, spent};
use bcce_core::run::call_log::LoggedCall;
use rust_decimal::Decimal;
use time::OffsetDateTime;

/// The longest time that a call waits for money that calls under way have reserved.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// The pauses between two tries.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

pub(crate) struct LogCalls<'a, 'r, M, C, L> {
    pub caller: &'a Caller<M, C, L>,
    pub reports: &'r Reports<'a>,
    /// The call under way, if it has reserved anything.
    reserved: RefCell<Option<LoggedCall>>,
}

impl<'a, 'r, M, C, L> LogCalls<'a, 'r, M, C, L> {
    pub fn new(caller: &'a Caller<M, C, L>, reports: &'r Reports<'a>) -> Self {
        Self { caller, reports, reserved: RefCell::default() }
    }
}

impl<M, C: Clock, L: LogCall + BudgetLedger + ReadBreakers> LogCalls<'_, '_, M, C, L> {
    /// Reserves the cost of a call. Waits as long as calls under way may give back what they have reserved.
    async fn reserve(
        &self,
        budgets: &AppliedBudgets,
        work: &StepWork<'_>,
        target: &Target,
        size: CallSize,
    ) -> Result<Admitted, Fault> {
        let (clock, ledger) = (&self.caller.clock, self.caller.health.ledger());
        let (run, step) = (work.decided.run, work.decided.reference);
        let (started, mut pause) = (clock.now(), PAUSE);
        loop {
            let at = clock.now();
            if work.time_at(at).is_none() {
                return Ok(Admitted::NotNow);
            }
            let CallSize { bytes, max_tokens } = size;
            let most = work.plan.most_of_call(work.step, target, at, bytes, max_tokens);
            let name = format!("{} {} {:?}", run.run_id, step.step, step.item);
            let to_reserve = match ToReserve::of(budgets, &name, at, &most) {
                Ok(to_reserve) => to_reserve,
                Err(budget) => return Ok(Admitted::Refused(without_price(&budget, target))),
            };
            let ToReserve { places, limits, amounts } = to_reserve;
            let call = LoggedCall { reserved: amounts, ..LoggedCall::new(at, target.clone()) };
            let shortage = match reserve(ledger, run, step, &call, &limits).await? {
                Reservation::Made => {
                    self.reserved.replace(Some(call));
                    return Ok(Admitted::At(at));
                }
                Reservation::Exceeded(shortage) => {
                    let budget = &budgets.applied[places[shortage.at]];
                    return Ok(Admitted::Refused(shortage.error(budget)));
                }
                Reservation::Busy(shortage) => Some(shortage),
                Reservation::Contended => None,
            };
            if let Some(shortage) = shortage
                && clock.now() - started > LONGEST_WAIT
            {
                let budget = &budgets.applied[places[shortage.at]];
                return Ok(Admitted::Refused(shortage.error(budget)));
            }
            tokio::time::sleep(pause + varied(&name, at)).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            let now = clock.now();
            if !work.may_call(&self.caller.health, target, now).await {
                return Ok(Admitted::NotNow);
            }
        }
    }
}

/// Returns up to a second, so that calls that wait do not try at the same moment.
fn varied(call: &str, at: OffsetDateTime) -> Duration {
    let byte = sha256(format!("{call} {at}").as_bytes())[0];
    Duration::from_millis(4 * u64::from(byte))
}

impl<M, C, L: BudgetLedger> LogCalls<'_, '_, M, C, L> {
    /// Reports what the call under way has spent of its reservation.
    fn commit(&self, work: &StepWork<'_>, spent: impl FnOnce(&[Reserved]) -> Vec<Decimal>) {
        let Some(call) = self.reserved.take() else { return };
        let ledger = self.caller.health.ledger();
        let (run, step) = (work.decided.run.reference.clone(), work.decided.reference.clone());
        let spent = spent(&call.reserved);
        self.reports.add(async move {
            let (run_id, step_id) = (&run.run_id, &step.step);
            if call.reserved.iter().zip(&spent).any(|(reserved, spent)| *spent > reserved.amount) {
                tracing::error!(
                    run_id,
                    step_id,
                    ?spent,
                    "a call has spent more than its worst case"
                );
            }
            if let Err(fault) = ledger.commit_call(&run, &step, &call, &spent).await {
                tracing::warn!(
                    run_id,
                    step_id,
                    "a call is committed when its run is sealed: {fault}"
                );
            }
        });
    }
}

impl<M, C: Clock, L: LogCall + BudgetLedger + ReadBreakers> Admission
    for LogCalls<'_, '_, M, C, L>
{
    async fn admit(
        &self,
        work: &StepWork<'_>,
        target: &Target,
        size: CallSize,
    ) -> Result<Admitted, Fault> {
        if let Some(budgets) = work.plan.budgets.as_ref().filter(|all| !all.applied.is_empty()) {
            return self.reserve(budgets, work, target, size).await;
        }
        let (health, started_at) = (&self.caller.health, self.caller.clock.now());
        let (run, step) = (work.decided.run.reference.clone(), work.decided.reference.clone());
        let call = LoggedCall::new(started_at, target.clone());
        self.reports.add(async move { health.log_call(&run, &step, &call).await });
        Ok(Admitted::At(started_at))
    }

    fn not_made(&self, work: &StepWork<'_>, _: &Target) {
        self.commit(work, |reserved| vec![Decimal::ZERO; reserved.len()]);
    }

    fn ended(&self, work: &StepWork<'_>, call: &FinishedCall<'_>) -> bool {
        let Attempt { cost_usd, usage, .. } = call.attempt;
        self.commit(work, |reserved| spent(reserved, *cost_usd, usage.as_ref()));
        true
    }
}
