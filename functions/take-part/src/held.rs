//! Closes records that are not asked again as runs that failed, so that what the job charged for them is counted.

use bcce_core::base::error::Fault;
use bcce_core::base::json::parse;
use bcce_core::batch::{Item, bulk};
use bcce_core::io::seal;
use bcce_core::io::seal::Subject;
use bcce_core::ports::{
    Clock, CloseRun, GetObject, GetSealed, PutOnce, PutSealed, SignDigest, VerifyDigest,
};
use bcce_core::run::artifact::{ArtifactRef, StepFailure};
use bcce_core::run::ids::Run;
use bcce_core::run::manifest::{Evidence, Manifest};

use crate::Ports;
use crate::settle::{Planned, Taking};

impl<E: Fn(&str)> Taking<'_, E> {
    /// Seals the item's run as one that failed with `error`, and closes it. Safe to repeat.
    pub async fn close_held<S, K, L, C>(
        &self,
        ports: &Ports<S, K, L, C>,
        item: &Item,
        error: &Fault,
    ) -> Result<(), Fault>
    where
        S: GetObject + PutOnce + GetSealed + PutSealed,
        K: SignDigest + VerifyDigest,
        L: CloseRun,
        C: Clock,
    {
        let run = self.run(item);
        let (store, key, subject) = (&ports.store, &ports.signing_key, Subject::of_run(&run));
        let sealed = match seal::find(store, key, &subject).await? {
            Some(sealed) => sealed,
            None => {
                let manifest = self.seal_held(ports, &run, error).await?;
                seal::seal(store, key, &subject, manifest).await?
            }
        };
        self.close(ports, run, sealed).await
    }

    async fn seal_held<S: GetObject, K, L, C: Clock>(
        &self,
        ports: &Ports<S, K, L, C>,
        run: &Run,
        error: &Fault,
    ) -> Result<Manifest, Fault> {
        let Planned { plan, mut artifacts } = Planned::read(&ports.store, run).await?;
        let fit = bulk::fit(&plan, &self.config.region).map_err(Fault::internal)?;
        // There is one where the job charged something.
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
