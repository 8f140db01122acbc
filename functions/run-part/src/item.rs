//! The run of one item: its request, its plan, and its steps, wave by wave.

use bcce_core::base::error::{ErrorName, Fault};
use bcce_core::batch::packed::{PLAN, PackedRun, REQUEST, RunState};
use bcce_core::batch::reference::Place;
use bcce_core::io::item_run::item_request;
use bcce_core::io::step::TakeReports;
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::ending::{Ending, ExecutionStatus};
use bcce_core::run::ids::{ANSWER, Run};
use bcce_core::run::plan::{Plan, Sources};
use bcce_core::run::request::StoredRequest;

use crate::KeepParts;
use crate::work::Work;

impl<S, R, L, M, C, H, F> Work<'_, '_, S, R, L, M, C, H, F>
where
    S: GetObject + PutOnce,
    R: OpenSource,
    L: KeepParts,
    M: CallModel,
    C: Clock,
    H: TakeReports + ReadLatencies,
{
    /// Works off an item as far as this invocation can. Returns what is to be stored of it.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3 or the ledger failed, or an object is not what this version writes.
    pub async fn item(&self, place: &Place) -> Result<PackedRun, Fault> {
        let mut packed = match self.part.under_way.get(&place.n) {
            Some(packed) => packed.clone(),
            None => self.begin(place).await?,
        };
        packed.started = self.part.started.get(&place.n).cloned().unwrap_or_default();
        if packed.is_over() {
            return Ok(packed);
        }
        if let Some(plan) = packed.plan()? {
            self.waves(&mut packed, &plan).await?;
        }
        if !packed.is_over() && self.orders.borrow().is_cancelled(&packed.run.run_id) {
            let (status, at) = (ExecutionStatus::Aborted, self.ports.caller.clock.now());
            packed.close(Ending { status, at, error: None, cause: None })?;
        }
        Ok(packed)
    }

    /// Begins the run of an item: makes its request and its plan. A retried item keeps both from the attempt before.
    async fn begin(&self, place: &Place) -> Result<PackedRun, Fault> {
        let item = self.part.item(place)?;
        let batch = &self.request.batch;
        let run = Run {
            reference: item.run(batch, place.attempt_no),
            execution_arn: batch.execution_arn.clone(),
            started_at: self.ports.caller.clock.now(),
        };
        let mut packed = PackedRun::started(place.n, run);
        if let Some(before) = self.part.before.get(&place.n)
            && before.object(PLAN).is_some()
        {
            let kept = before.objects.iter().filter(|(name, _)| is_kept(name));
            packed.objects.extend(kept.map(|(name, body)| (name.clone(), body.clone())));
            return Ok(packed);
        }
        let stored = &self.part.stored;
        let request = match item_request(&self.ports.sources, stored, batch, item).await {
            Ok(request) => request,
            Err(fault) if fault.name == ErrorName::Internal => return Err(fault),
            Err(fault) => {
                let (batch_id, n) = (&batch.batch_id, place.n);
                tracing::warn!(batch_id, n, "an item is refused: {}", fault.message);
                packed.state = RunState::Refused(fault);
                return Ok(packed);
            }
        };
        packed.add(REQUEST, &request)?;
        self.plan(&mut packed, &request)?;
        Ok(packed)
    }

    /// Plans a run. If the request may not run, the run is over with the reason.
    fn plan(&self, packed: &mut PackedRun, request: &StoredRequest) -> Result<(), Fault> {
        let configuration = &self.part.configuration;
        let sources = Sources { request, configuration, retries: self.config.retries };
        match Plan::resolve(&sources) {
            Ok(plan) => packed.add(PLAN, &plan),
            Err(refused) => {
                let ended_at = self.ports.caller.clock.now();
                let fault = Some(refused.into());
                packed.state = RunState::Over { ended_at, fault, ending: None };
                Ok(())
            }
        }
    }

    /// Runs the waves of a plan, one after the other, until a step fails or has to go on later.
    async fn waves(&self, packed: &mut PackedRun, plan: &Plan) -> Result<(), Fault> {
        let mut open = match &packed.state {
            RunState::UnderWay(open) => open.clone(),
            _ => Vec::new(),
        };
        for wave in &plan.waves {
            let has_failed = self.wave(packed, plan, wave, &mut open).await?;
            if !open.is_empty() {
                packed.state = RunState::UnderWay(open);
                return Ok(());
            }
            if has_failed {
                break;
            }
        }
        let ended_at = self.ports.caller.clock.now();
        packed.state = RunState::Over { ended_at, fault: None, ending: None };
        Ok(())
    }
}

/// Returns whether a retried run keeps an object of the attempt before.
fn is_kept(name: &str) -> bool {
    [REQUEST, PLAN].contains(&name) || (name.starts_with("steps/") && name.ends_with(ANSWER))
}
