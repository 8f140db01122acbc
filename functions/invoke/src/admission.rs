//! Admits each call at once, and adds it to the call log while it is made. If the function ends before it stores the
//! attempt, the call log shows the lost call.

use bcce_core::base::error::Fault;
use bcce_core::base::target::Target;
use bcce_core::io::step::{Admission, Caller, FinishedCall, Reports, StepWork};
use bcce_core::ports::{Clock, LogCall};
use bcce_core::run::call_log::LoggedCall;
use time::OffsetDateTime;

pub(crate) struct LogCalls<'a, 'r, M, C, L> {
    pub caller: &'a Caller<M, C, L>,
    pub reports: &'r Reports<'a>,
}

impl<M, C: Clock, L: LogCall> Admission for LogCalls<'_, '_, M, C, L> {
    async fn admit(
        &self,
        work: &StepWork<'_>,
        target: &Target,
    ) -> Result<Option<OffsetDateTime>, Fault> {
        let (health, started_at) = (&self.caller.health, self.caller.clock.now());
        let (run, step) = (work.decided.run.reference.clone(), work.decided.reference.clone());
        let call = LoggedCall { started_at, target: target.clone() };
        self.reports.add(async move { health.log_call(&run, &step, &call).await });
        Ok(Some(started_at))
    }

    fn ended(&self, _: &StepWork<'_>, _: &FinishedCall<'_>) -> bool {
        true
    }
}
