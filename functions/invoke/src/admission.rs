//! Admits each call as soon as its cost is reserved, and adds it to the call log. If the function ends before it stores
//! the attempt, the call log shows the lost call, with what it has reserved.
//!
//! Without a budget, the call is logged while it is made. With one, the reservation and the entry of the call log are
//! one transaction before the call.

use std::cell::RefCell;
use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::base::figures::{count, dollars};
use bcce_core::base::target::Target;
use bcce_core::config::budgets::{AppliedBudget, AppliedBudgets, Unit, Window};
use bcce_core::io::budgets::{Reservation, Shortage, reserve};
use bcce_core::io::step::{Admission, Admitted, CallSize, Caller, FinishedCall, Reports, StepWork};
use bcce_core::ports::{BudgetLedger, Clock, LogCall, ReadBreakers};
use bcce_core::run::budgets::{ToReserve, spent};
use bcce_core::run::call_log::LoggedCall;
use rust_decimal::Decimal;

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
        let (begun, mut pause) = (clock.now(), PAUSE);
        loop {
            let at = clock.now();
            let limits = (size.max_tokens, size.context_tokens);
            let most = work.plan.most_of_call(work.step, target, at, size.bytes, limits);
            let to_reserve = match ToReserve::of(budgets, &run.run_id, at, &most) {
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
                    return Ok(Admitted::Refused(exceeded(budget, &shortage)));
                }
                Reservation::Busy(shortage) => shortage,
            };
            if clock.now() - begun > LONGEST_WAIT {
                let budget = &budgets.applied[places[shortage.at]];
                return Ok(Admitted::Refused(exceeded(budget, &shortage)));
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
            let now = clock.now();
            if work.time_at(now).is_none() || !work.may_call(&self.caller.health, target, now).await
            {
                return Ok(Admitted::NotNow);
            }
        }
    }
}

fn without_price(budget: &str, target: &Target) -> Fault {
    let message = format!(
        "budgets.{budget}: prices.yaml has no price for a call of {target} today, and this budget needs one"
    );
    Fault::new(ErrorName::BudgetExceeded, message)
}

/// Returns the error of a call for which a budget has not enough left.
fn exceeded(budget: &AppliedBudget, shortage: &Shortage) -> Fault {
    let Shortage { limit, spent, reserved, needed, .. } = shortage;
    let amount = |amount: &Decimal| match budget.unit {
        Unit::Usd => dollars(*amount),
        Unit::Tokens => {
            let tokens = u64::try_from(amount.trunc()).unwrap_or_default();
            format!("{} tokens", count(tokens))
        }
    };
    let of = if budget.value.is_empty() { String::new() } else { format!(" of {}", budget.value) };
    let window = match budget.window {
        Window::Day => " for this day (UTC)",
        Window::Month => " for this month (UTC)",
        Window::Total => "",
    };
    let message = format!(
        "budgets.{}: the call may cost {}; of the {}{of}{window}, {} are spent and {} are reserved by calls under way",
        budget.name,
        amount(needed),
        amount(limit),
        amount(spent),
        amount(reserved),
    );
    Fault::new(ErrorName::BudgetExceeded, message)
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

    fn ended(&self, work: &StepWork<'_>, call: &FinishedCall<'_>) -> bool {
        if let Some(reserved) = self.reserved.take() {
            let ledger = self.caller.health.ledger();
            let (run, step) = (work.decided.run.reference.clone(), work.decided.reference.clone());
            let spent =
                spent(&reserved.reserved, call.attempt.cost_usd, call.attempt.usage.as_ref());
            self.reports.add(async move {
                if let Err(fault) = ledger.settle_call(&run, &step, &reserved, &spent).await {
                    let (run_id, step) = (&run.run_id, &step.step);
                    tracing::warn!(
                        run_id,
                        step,
                        "a call is settled when its run is sealed: {fault}"
                    );
                }
            });
        }
        true
    }
}
