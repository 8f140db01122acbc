//! Closes the runs of held records as failed, so that the cost of their answers in the bulk job is counted.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::{Item, bulk};
use bcce_core::io::seal::{Subject, find_or_seal};
use bcce_core::ports::{
    Clock, CloseRun, GetObject, GetSealed, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use bcce_core::run::artifact::{ArtifactRef, StepFailure};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Evidence, Manifest};

use crate::Ports;
use crate::finish::{Planned, Taking};

impl Taking<'_> {
    /// Seals the run of an item as failed with `error`, and closes it in the ledger. Safe to repeat.
    ///
    /// # Errors
    /// `Bcce.Internal`: S3, KMS or the ledger failed.
    pub async fn close_held<S, K, L, C, M>(
        &self,
        ports: &Ports<S, K, L, C, M>,
        item: &Item,
        error: &Fault,
    ) -> Result<(), Fault>
    where
        S: GetObject + PutOnce + GetSealed + PutSealed,
        K: SignDigest + VerifyDigest,
        L: CloseRun,
        C: Clock,
        M: Fn(&str),
    {
        let run = self.run(item);
        let subject = Subject::of_run(&run);
        let Ports { store, signing_key: key, .. } = ports;
        let make = async || self.seal_held(ports, &run, error).await;
        let sealed = find_or_seal(store, key, &subject, make).await?;
        self.close(ports, run, sealed).await
    }

    /// Makes the manifest of a held record's run.
    async fn seal_held<S: GetObject, K, L, C: Clock, M>(
        &self,
        ports: &Ports<S, K, L, C, M>,
        run: &Run,
        error: &Fault,
    ) -> Result<Manifest, Fault> {
        let Planned { plan, mut artifacts } = Planned::read(&ports.store, run).await?;
        let fit = bulk::fit(&plan, &self.config.region).map_err(Fault::internal)?;
        // The failure was stored if the job charged something for the record.
        let key = run.record_failure_key(&fit.step.id);
        let mut failures = Vec::new();
        if let Some(body) = ports.store.get(&key).await? {
            failures.push(parse::<StepFailure>(&key, &body)?);
            artifacts.push(ArtifactRef::of(key, &body));
        }
        Ok(Manifest::seal(Evidence {
            run,
            plan: Some(&plan),
            artifacts,
            answers: Vec::new(),
            failures,
            broken: Vec::new(),
            logged_calls: Vec::new(),
            fault: Some(error.clone()),
            ending: None,
            ended_at: ports.clock.now(),
        }))
    }
}
