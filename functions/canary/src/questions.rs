//! Limits the time of the questions to Bedrock and Service Quotas. Regions that hang must leave time for the calls of the
//! other targets and for the report.

use std::time::Duration;

use bcce_core::base::error::Fault;
use bcce_core::base::target::Guardrail;
use bcce_core::config::policy::DataRetention;
use bcce_core::config::profiles::Profile;
use bcce_core::io::reader::TargetDocuments;
use bcce_core::io::standby::{ReadFacts, read_facts};
use bcce_core::ports::{
    CheckGuardrail, DescribeModel, DescribeProfile, ReadAccess, ReadDataRetention, ReadQuotas,
};
use bcce_core::standby::checks::WatchedTarget;
use bcce_core::standby::facts::{Access, ModelFacts};
use bcce_core::standby::quotas::Quota;
use tokio::time::{Instant, timeout};

use crate::Ports;

/// The time for an answer of Bedrock, which usually takes well under a second.
const ANSWER: Duration = Duration::from_secs(10);
/// The time for the quotas of a region, which are more than ten pages.
const QUOTAS: Duration = Duration::from_secs(30);

impl<S, P, L, H, M, B, Q, T, C, F> Ports<S, P, L, H, M, B, Q, T, C, F>
where
    B: DescribeModel + ReadAccess + DescribeProfile + CheckGuardrail + ReadDataRetention,
    Q: ReadQuotas,
{
    /// Asks Bedrock and Service Quotas about the targets, until the time is used up.
    pub async fn ask(
        &self,
        targets: &[WatchedTarget],
        documents: &TargetDocuments,
        until: Instant,
    ) -> ReadFacts {
        let control = Limited::new(&self.control, until);
        let quotas = Limited::new(&self.quotas, until);
        read_facts(&control, &quotas, targets, documents).await
    }
}

/// A port whose questions have time limits. A question that runs out of time has no answer, as if the service had failed.
struct Limited<'a, P> {
    port: &'a P,
    /// The time at which all questions end.
    until: Instant,
}

impl<'a, P> Limited<'a, P> {
    fn new(port: &'a P, until: Instant) -> Self {
        Self { port, until }
    }

    /// Waits for the answer to a question. `what` names the question, as the adapters do in their faults.
    ///
    /// # Errors
    /// `Bcce.Internal`: the question failed or ran out of time.
    async fn answer<T>(
        &self,
        limit: Duration,
        what: &str,
        question: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let limit = limit.min(self.until.saturating_duration_since(Instant::now()));
        if limit.is_zero() {
            let cause = "not asked, because the questions before it took too long";
            return Err(Fault::internal(format!("{what}: {cause}")));
        }
        timeout(limit, question).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs_f64();
            Err(Fault::internal(format!("{what}: no answer within {seconds:.0} s")))
        })
    }
}

impl<P: DescribeModel> DescribeModel for Limited<'_, P> {
    async fn describe_model(
        &self,
        region: &str,
        model: &str,
    ) -> Result<Result<ModelFacts, String>, Fault> {
        let what = format!("bedrock:GetFoundationModel {model} in {region}");
        self.answer(ANSWER, &what, self.port.describe_model(region, model)).await
    }
}

impl<P: ReadAccess> ReadAccess for Limited<'_, P> {
    async fn access(&self, region: &str, model: &str) -> Result<Access, Fault> {
        let what = format!("bedrock:GetFoundationModelAvailability {model} in {region}");
        self.answer(ANSWER, &what, self.port.access(region, model)).await
    }
}

impl<P: DescribeProfile> DescribeProfile for Limited<'_, P> {
    async fn describe_profile(
        &self,
        region: &str,
        id: &str,
    ) -> Result<Result<Profile, String>, Fault> {
        let what = format!("bedrock:GetInferenceProfile {id} in {region}");
        self.answer(ANSWER, &what, self.port.describe_profile(region, id)).await
    }
}

impl<P: CheckGuardrail> CheckGuardrail for Limited<'_, P> {
    async fn check_guardrail(
        &self,
        region: &str,
        guardrail: &Guardrail,
    ) -> Result<Result<(), String>, Fault> {
        let what = format!("bedrock:GetGuardrail {} in {region}", guardrail.id);
        self.answer(ANSWER, &what, self.port.check_guardrail(region, guardrail)).await
    }
}

impl<P: ReadDataRetention> ReadDataRetention for Limited<'_, P> {
    async fn data_retention(&self, region: &str) -> Result<DataRetention, Fault> {
        let what = format!("bedrock:GetAccountDataRetention in {region}");
        self.answer(ANSWER, &what, self.port.data_retention(region)).await
    }
}

impl<P: ReadQuotas> ReadQuotas for Limited<'_, P> {
    async fn quotas(&self, region: &str) -> Result<Vec<Quota>, Fault> {
        let what = format!("servicequotas:ListServiceQuotas bedrock in {region}");
        self.answer(QUOTAS, &what, self.port.quotas(region)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::block_on;

    const SOON: Duration = Duration::from_millis(20);
    const LATER: Duration = Duration::from_secs(600);

    /// Returns the message of a question that is never answered.
    fn unanswered(limit: Duration, until: Duration) -> String {
        block_on(async {
            let limited = Limited::new(&(), Instant::now() + until);
            let question = std::future::pending::<Result<(), Fault>>();
            limited.answer(limit, "bedrock:Get m", question).await.unwrap_err().message
        })
    }

    #[test]
    fn a_question_ends_at_its_own_limit_and_at_that_of_all_questions() {
        assert_eq!(unanswered(SOON, LATER), "bedrock:Get m: no answer within 0 s");
        assert_eq!(unanswered(LATER, SOON), "bedrock:Get m: no answer within 0 s");
        let late = unanswered(LATER, Duration::ZERO);
        assert!(late.starts_with("bedrock:Get m: not asked"), "{late}");
    }

    #[test]
    fn an_answer_in_time_is_passed_on() {
        block_on(async {
            let limited = Limited::new(&(), Instant::now() + LATER);
            let answered = limited.answer(LATER, "q", async { Ok(7) }).await;
            assert_eq!(answered, Ok(7));
        });
    }
}
