//! The run of one item: its request, its plan, and its steps, wave by wave.

use bcce_core::base::error::Fault;
use bcce_core::batch::packed::{PLAN, PackedRun, REQUEST, RunState};
use bcce_core::batch::reference::Place;
use bcce_core::io::packed::Planning;
use bcce_core::io::step::TakeReports;
use bcce_core::ports::{CallModel, Clock, GetObject, OpenSource, PutOnce, ReadLatencies};
use bcce_core::run::ending::{Ending, ExecutionStatus};
use bcce_core::run::ids::{ANSWER, Run};
use bcce_core::run::plan::Plan;

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
        let mut packed = match self.part.under_way.get(&place.n).cloned() {
            Some(mut packed) => {
                if packed.state == RunState::Planned {
                    // It was planned as the record of a bulk job, which may have taken a day.
                    packed.run.started_at = self.ports.caller.clock.now();
                    packed.run.execution_arn.clone_from(&self.request.batch.execution_arn);
                }
                packed
            }
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
        let (batch, now) = (&self.request.batch, self.ports.caller.clock.now());
        let run = Run {
            reference: item.run(batch, place.attempt_no),
            execution_arn: batch.execution_arn.clone(),
            started_at: now,
        };
        let mut packed = PackedRun::new(place.n, run);
        if let Some(before) = self.part.before.get(&place.n)
            && before.object(PLAN).is_some()
        {
            let kept = before.objects.iter().filter(|(name, _)| is_kept(name));
            packed.objects.extend(kept.map(|(name, body)| (name.clone(), body.clone())));
            return Ok(packed);
        }
        let planning = Planning {
            sources: &self.ports.sources,
            batch,
            stored: &self.part.stored,
            configuration: &self.part.configuration,
            retries: self.config.retries,
        };
        planning.plan(item, packed.run, now).await
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
