//! Bedrock's control plane and Service Quotas, as far as they are played: routes a request to the part that answers it.

use std::sync::Arc;

use serde_json::Value;

use super::jobs::Jobs;
use super::path::JobOperation;
use super::plants::Plants;
use super::profiles::Profiles;
use super::reply::Refusal;
use super::{account, foundation_models, quotas};

pub struct ControlPlane {
    jobs: Arc<Jobs>,
    profiles: Profiles,
    plants: Arc<Plants>,
}

/// A request to any service. `path` includes the query, and `target` is the header of [`quotas::TARGET`].
pub struct Asked<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub target: Option<&'a str>,
    pub body: &'a [u8],
}

impl ControlPlane {
    pub fn new(jobs: Arc<Jobs>, plants: Arc<Plants>) -> Self {
        Self { jobs, profiles: Profiles::default(), plants }
    }

    /// Answers a request to the control plane. Returns `None` for any other request.
    pub async fn answer(&self, asked: &Asked<'_>) -> Option<Result<Value, Refusal>> {
        let Asked { method, path, target, body } = *asked;
        if (method, path) == ("GET", "/__jobs") {
            return Some(Ok(self.jobs.to_json()));
        }
        let plants = &*self.plants;
        let answer = plants
            .answer(method, path, body)
            .or_else(|| self.profiles.answer(plants, method, path, body))
            .or_else(|| foundation_models::answer(plants, method, path))
            .or_else(|| account::answer(plants, method, path))
            .or_else(|| quotas::answer(plants, method, path, target, body));
        if answer.is_some() {
            return answer;
        }
        Some(self.jobs.answer(&JobOperation::parse(method, path)?, body).await)
    }
}
