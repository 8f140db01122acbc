//! What Bedrock's control plane says about targets, and the canary's records in the ledger.

use std::collections::BTreeSet;

use crate::base::error::Fault;
use crate::base::target::Guardrail;
use crate::config::policy::DataRetention;
use crate::ledger::usage::CountedCalls;
use crate::standby::alert::StandbyAlert;
use crate::standby::canary::LastCall;
use crate::standby::facts::{Access, ModelFacts};
use crate::standby::quotas::Quota;

pub trait DescribeModel {
    /// Describes a foundation model in a region. Returns the reason if the region does not have it.
    async fn describe_model(
        &self,
        region: &str,
        model: &str,
    ) -> Result<Result<ModelFacts, String>, Fault>;
}

pub trait ReadAccess {
    /// Reads the access of the account to a foundation model in a region.
    async fn access(&self, region: &str, model: &str) -> Result<Access, Fault>;
}

pub trait CheckGuardrail {
    /// Checks that a guardrail can be used in a region. Returns the reason if it cannot.
    async fn check_guardrail(
        &self,
        region: &str,
        guardrail: &Guardrail,
    ) -> Result<Result<(), String>, Fault>;
}

pub trait ReadDataRetention {
    /// Reads the mode of data retention of the account in a region.
    async fn data_retention(&self, region: &str) -> Result<DataRetention, Fault>;
}

pub trait ReadQuotas {
    /// Reads the applied quotas of Bedrock in a region.
    async fn quotas(&self, region: &str) -> Result<Vec<Quota>, Fault>;
}

pub trait ReadLastCalls {
    /// Reads the last canary calls of the targets `keys`, in that order.
    async fn last_calls(&self, keys: &[String]) -> Result<Vec<Option<LastCall>>, Fault>;
}

pub trait ClaimCanaryCall {
    /// Records that a canary call of a target starts. Returns `false` if another invocation has recorded a call since
    /// `before` was read.
    async fn claim_canary_call(
        &self,
        key: &str,
        before: Option<&LastCall>,
        call: &LastCall,
    ) -> Result<bool, Fault>;
}

pub trait RecordCanaryCall {
    /// Replaces the `claim` of a canary call by its result, and adds its usage to the counters in the same transaction.
    /// Safe to repeat.
    async fn record_canary_call(
        &self,
        key: &str,
        claim: &LastCall,
        call: &LastCall,
        counted: &CountedCalls,
    ) -> Result<(), Fault>;
}

/// The findings that were reported, with their revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedFindings {
    pub keys: BTreeSet<String>,
    /// The number of times that they were written. 0 if never.
    pub revision: u64,
}

pub trait ReadReportedFindings {
    /// Reads which findings were reported.
    async fn reported_findings(&self) -> Result<ReportedFindings, Fault>;
}

pub trait WriteReportedFindings {
    /// Replaces the findings that were reported. Returns `false` if another invocation has written them since `read`.
    async fn write_reported_findings(
        &self,
        read: &ReportedFindings,
        keys: &BTreeSet<String>,
    ) -> Result<bool, Fault>;
}

pub trait PublishStandbyAlert {
    /// Sends a message about targets that cannot take calls.
    async fn publish_standby_alert(&self, alert: &StandbyAlert) -> Result<(), Fault>;
}
