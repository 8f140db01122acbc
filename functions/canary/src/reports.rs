//! Reports the findings: once on the topic, and as a metric each time.

use bcce_core::base::error::Fault;
use bcce_core::ports::{
    Clock, PublishStandbyAlert, ReadReportedFindings, ReportedFindings, WriteReportedFindings,
};
use bcce_core::standby::alert::{StandbyAlert, metric, reported};
use bcce_core::standby::finding::{Finding, Level};

use crate::{Config, Ports};

impl<S, P, L, H, M, B, Q, T, C, F> Ports<S, P, L, H, M, B, Q, T, C, F>
where
    L: ReadReportedFindings + WriteReportedFindings,
    T: PublishStandbyAlert,
    C: Clock,
    F: Fn(&str),
{
    /// Writes the metric, and sends a message about the findings that are new. If not everything `is_known`, earlier
    /// findings count as lasting, and the metric does not say that all is well.
    ///
    /// # Errors
    /// `Bcce.Internal`: the ledger or SNS failed. The next invocation sends the message.
    pub async fn report(
        &self,
        config: &Config,
        findings: &[Finding],
        is_known: bool,
    ) -> Result<(), Fault> {
        let now = self.clock.now();
        if is_known || findings.iter().any(|finding| finding.level == Level::Fail) {
            (self.metrics)(&metric(&config.environment, findings, now));
        }
        let before = self.ledger.reported_findings().await?;
        let mut keys = reported(findings);
        if !is_known {
            keys.extend(before.keys.iter().cloned());
        }
        if keys == before.keys {
            return Ok(());
        }
        // Written first: two invocations at a time must not both send the message.
        if !self.ledger.write_reported_findings(&before, &keys).await? {
            return Ok(());
        }
        let Some(alert) = StandbyAlert::due(&config.environment, findings, &before.keys, now)
        else {
            return Ok(());
        };
        if let Err(fault) = self.topic.publish_standby_alert(&alert).await {
            let written = ReportedFindings { keys, revision: before.revision + 1 };
            self.ledger.write_reported_findings(&written, &before.keys).await?;
            return Err(fault);
        }
        for Finding { check, target, cause, remedy, .. } in &alert.findings {
            let (check, target) = (check.as_str(), target.to_string());
            tracing::warn!(check, target, remedy, "a target needs a person: {cause}");
        }
        Ok(())
    }
}
