//! Handles a message: checks and stores its request and starts the execution, rejects the message, or lets it wait.

use std::time::Duration;

use bcce_core::base::error::{ErrorName, Fault, Problems};
use bcce_core::batch::reference::is_of_item;
use bcce_core::batch::s3_event::is_folder;
use bcce_core::batch::{StoredBatch, inbox};
use bcce_core::config::documents::parameter_name;
use bcce_core::io::objects::store_value_once;
use bcce_core::ports::{
    Clock, DeadLetter, GetObject, ListParameters, ListSlots, Postpone, Publish, PutOnce,
    ReleaseSlot, SendAgain, StartBatch, StartRun, Started, TakeSlot,
};
use bcce_core::run::request::{Request, StoredRequest};
use bcce_core::run::slots::{Lane, batch_weight};

use crate::slots::{Claim, Claimed};
use crate::waiting::{Because, Wait};
use crate::workflows::{Known, Question};
use crate::{Config, Dispatched, Ports, Received};

/// The largest difference between the clocks of Step Functions and of this function. No execution ends within this time
/// after its start.
const SKEW: Duration = Duration::from_secs(2);

impl<S, M, T, D, Q, P, L, C, F> Ports<S, M, T, D, Q, P, L, C, F>
where
    S: GetObject + PutOnce,
    M: StartRun + StartBatch,
    T: Publish,
    D: DeadLetter,
    Q: Postpone + SendAgain,
    P: ListParameters,
    L: ListSlots + TakeSlot + ReleaseSlot,
    C: Clock,
{
    /// Handles a message with a request for a run or a batch.
    pub(crate) async fn dispatch(
        &self,
        config: &Config,
        received: Received<'_>,
    ) -> Result<Dispatched, Fault> {
        let Received { body, tenant, given_id, .. } = received;
        if inbox::is_batch(body) {
            return self.dispatch_batch(config, received).await;
        }
        let request = match Request::parse(body) {
            Ok(request) => StoredRequest::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(received, problems).await,
        };
        let named = (request.request_id.as_str(), request.workflow.as_str());
        // A run of an item may be stored with those of its whole part. Then it has no request.json that would show that
        // the id is used.
        if is_of_item(&request.request_id) {
            let cause = "belongs to an item of a batch: <batch id>/<item id>; send the request under another id, or run the \
                         item again with `bcce runs retry`";
            return self.reject_named(received, named, Problems::one("id", cause).into()).await;
        }
        if let Some(ended) = self.without_workflow(config, received, named).await? {
            return Ok(ended);
        }
        let run = request.run();
        let holder = run.execution_name();
        let claim = Claim {
            lane: Lane::Runs,
            tenant,
            holder: &holder,
            weight: 1,
            limit: config.tenant_maximum_runs,
            now: self.clock.now(),
        };
        if self.full.has_none_free(&claim).await {
            return Ok(Dispatched::without_slot());
        }
        let key = run.request_key();
        let stored = store_value_once(&self.store, &key, &run.run_id, request.clone()).await?;
        // The values are compared, since another version of this function may have written the same request as other
        // bytes.
        if stored != request {
            let cause = "id: was used before, for another request of this workflow";
            return self
                .reject_named(received, named, Fault::new(ErrorName::InvalidRequest, cause))
                .await;
        }
        self.start(claim, async || self.machine.start(&run).await).await
    }

    async fn dispatch_batch(
        &self,
        config: &Config,
        received: Received<'_>,
    ) -> Result<Dispatched, Fault> {
        let Received { body, tenant, given_id, .. } = received;
        if is_folder(body) {
            tracing::info!("a folder was created in the batch inbox");
            return Ok(Dispatched::Done);
        }
        let request = match inbox::parse(body) {
            Ok(request) => StoredBatch::new(request, tenant, given_id),
            Err(problems) => return self.reject_unread(received, problems).await,
        };
        let named = (request.request_id.as_str(), request.workflow.as_str());
        if let Some(ended) = self.without_workflow(config, received, named).await? {
            return Ok(ended);
        }
        let batch = request.reference();
        let (holder, limit) = (batch.execution_name(), config.tenant_maximum_batch_items);
        let claim = Claim {
            lane: Lane::Batches,
            tenant,
            holder: &holder,
            weight: batch_weight(request.batch.concurrency(), limit),
            limit,
            now: self.clock.now(),
        };
        if self.full.has_none_free(&claim).await {
            return Ok(Dispatched::without_slot());
        }
        let (key, batch_id) = (batch.request_key(), &batch.batch_id);
        let stored = store_value_once(&self.store, &key, batch_id, request.clone()).await?;
        if stored != request {
            let cause = "id: was used before, for another batch of this workflow";
            return self
                .reject_named(received, named, Fault::new(ErrorName::InvalidRequest, cause))
                .await;
        }
        self.start(claim, async || self.batch_machine.start_batch(&batch).await).await
    }

    /// Takes a slot and starts an execution. The slot is released when the run or batch is closed.
    async fn start(
        &self,
        claim: Claim<'_>,
        start: impl AsyncFnOnce() -> Result<Started, Fault>,
    ) -> Result<Dispatched, Fault> {
        let claimed = self.full.claim(&self.ledger, claim).await?;
        if claimed == Claimed::NoneFree {
            return Ok(Dispatched::without_slot());
        }
        let (execution, tenant) = (claim.holder, claim.tenant);
        // After a fault or a throttle, an execution may exist that another delivery of the message started with this
        // slot. So the slot is kept, and this message uses it at its next delivery.
        let (is_new, needs_slot) = match start().await? {
            // An execution that is older than the slot had a slot of its own, which it has released.
            Started::Running { since } if since < claim.now - SKEW => {
                (false, claimed != Claimed::New)
            }
            Started::Running { .. } => (true, true),
            Started::Existed => (false, claimed == Claimed::Unlimited),
            Started::Throttled => {
                return Ok(Dispatched::Waits(Wait::because(Because::Throttled)));
            }
        };
        if !needs_slot {
            self.ledger.release_slot(claim.lane, tenant, execution).await?;
        }
        if is_new {
            tracing::info!(execution, tenant, "the execution is started");
        } else {
            tracing::info!(execution, tenant, "the execution was started before");
        }
        let is_run = claim.lane == Lane::Runs;
        Ok(if is_new && is_run { Dispatched::RunStarted } else { Dispatched::Done })
    }

    /// Rejects a message whose workflow does not exist, or lets it wait until that is certain. Returns `None` if the
    /// workflow exists.
    async fn without_workflow(
        &self,
        config: &Config,
        received: Received<'_>,
        named: (&str, &str),
    ) -> Result<Option<Dispatched>, Fault> {
        let Received { sent_at, received_at, .. } = received;
        let (workflow, now) = (named.1, self.clock.now());
        let question = Question { workflow, sent_at, received_at, now };
        match self.workflows.look_up(&self.parameters, &config.environment, question).await {
            Known::Yes => Ok(None),
            Known::NotYet(at_least) => {
                let because = Because::UnknownWorkflow;
                Ok(Some(Dispatched::Waits(Wait { because, at_least })))
            }
            Known::No => {
                let parameter =
                    parameter_name(&config.environment, &format!("workflows/{workflow}"));
                let cause = format!(
                    "there is no workflow {workflow}: the SSM parameter {parameter} is missing"
                );
                let reason = Problems::one("workflow", cause).into();
                self.reject_named(received, named, reason).await.map(Some)
            }
        }
    }
}
