//! The run of one item: its request, its plan, and its steps, wave by wave.

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::{PLAN, PackedRun, REQUEST, RunState};
use bcce_core::batch::reference::Place;
use bcce_core::io::objects;
use bcce_core::io::packed::Planning;
use bcce_core::io::step::TakeReports;
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::ending::{Ending, ExecutionStatus};
use bcce_core::run::ids::{ANSWER, Run};
use bcce_core::run::plan::Plan;
use serde_json::value::RawValue;

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
    /// Works off an item as far as this invocation can. Returns what is to be stored of it. Returns `None` if it could
    /// not be begun: then it is still due, and another invocation may begin it.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger failed, or an object is not what this version writes.
    pub async fn item(&self, place: &Place) -> Result<Option<PackedRun>, Fault> {
        let mut packed = match self.begin(place).await {
            Ok(packed) => packed,
            Err(fault) => {
                self.unread.borrow_mut().get_or_insert(fault);
                return Ok(None);
            }
        };
        // The ledger forgets calls after a while. The run keeps those that are lost.
        for call in self.part.started.get(&place.n).into_iter().flatten() {
            if !packed.started.contains(call) {
                packed.started.push(call.clone());
            }
        }
        if packed.is_over() {
            return Ok(Some(packed));
        }
        if let Some(plan) = packed.plan()? {
            self.waves(&mut packed, &plan).await?;
        }
        if !packed.is_over() && self.orders.borrow().is_cancelled(&packed.run.run_id) {
            let (status, at) = (ExecutionStatus::Aborted, self.ports.caller.clock.now());
            packed.close(Ending { status, at, error: None, cause: None })?;
        }
        Ok(Some(packed))
    }

    /// Returns the run of an item as far as it is stored, or begins it: makes its request and its plan. A retried item
    /// keeps both from the attempt before.
    async fn begin(&self, place: &Place) -> Result<PackedRun, Fault> {
        let (store, now) = (&self.ports.store, self.ports.caller.clock.now());
        let batch = &self.request.batch;
        if let Some(stored) = self.part.under_way.get(&place.n) {
            let mut packed = self.stored.read(store, stored).await?;
            if packed.state == RunState::Planned {
                // It was planned as the record of a bulk job, which may have taken a day.
                packed.run.started_at = now;
                packed.run.execution_arn.clone_from(&batch.execution_arn);
            }
            if let Some(since) = packed.waits_since.take() {
                packed.waited_s += (now - since).whole_seconds().max(0).unsigned_abs();
            }
            return Ok(packed);
        }
        let item = self.part.item(place)?;
        let run = Run {
            reference: item.run(batch, place.attempt_no),
            execution_arn: batch.execution_arn.clone(),
            started_at: now,
        };
        let mut packed = PackedRun::new(place.n, run);
        if let Some(before) = self.part.before.get(&place.n) {
            let before = self.stored.read(store, before).await?;
            let kept = before.objects.into_iter().filter(|(name, _)| is_kept(name));
            packed.objects.extend(kept);
            self.take_answers(&mut packed).await?;
            return Ok(packed);
        }
        let planning = Planning {
            sources: &self.ports.sources,
            batch,
            stored: &self.part.stored,
            configuration: &self.part.configuration,
            retries: self.config.retries,
        };
        let mut packed = planning.plan(item, packed.run, now).await?;
        self.take_answers(&mut packed).await?;
        Ok(packed)
    }

    /// Adds the answers that an execution of its own has given the run, since they are paid.
    async fn take_answers(&self, packed: &mut PackedRun) -> Result<(), Fault> {
        if !self.part.retried_alone.contains(&packed.n) {
            return Ok(());
        }
        let Some(plan) = packed.plan()? else { return Ok(()) };
        for step in &plan.steps {
            let key = packed.run.step_key(&step.id, None);
            if packed.has(&key) {
                continue;
            }
            if let Some(answer) = objects::find::<Box<RawValue>>(&self.ports.store, &key).await? {
                packed.add_at(&key, &answer)?;
            }
        }
        Ok(())
    }

    /// Runs the waves of a plan, one after the other, until a step fails or has to go on later.
    async fn waves(&self, packed: &mut PackedRun, plan: &Plan) -> Result<(), Fault> {
        let mut open = match &packed.state {
            RunState::UnderWay(open) => open.clone(),
            _ => Vec::new(),
        };
        for wave in &plan.waves {
            let end = self.wave(packed, plan, wave, &mut open).await?;
            if end.is_open {
                packed.state = RunState::UnderWay(open);
                packed.waits_since = end.waits_for_money.then(|| self.ports.caller.clock.now());
                return Ok(());
            }
            if end.has_failed {
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
