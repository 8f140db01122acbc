//! The calls of a step, with its configuration.

use std::collections::BTreeMap;

use bcce_core::base::error::ErrorName;
use bcce_core::base::target::Target;
use bcce_core::config::configuration::Configuration;
use bcce_core::config::models::{Model, Takes};
use bcce_core::config::pricing::Tier;
use bcce_core::config::template::Step;
use bcce_core::run::manifest::StepUsage;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::metrics::advice::Examined;
use crate::metrics::groups::Sums;

/// A step that is in its workflow now, with the calls that it made.
#[derive(Clone, Debug)]
pub struct MeasuredStep<'a> {
    pub workflow: &'a str,
    pub step: &'a Step,
    pub configuration: &'a Configuration,
    calls: Vec<&'a StepUsage>,
}

impl<'a> MeasuredStep<'a> {
    /// Returns the steps that made calls. Steps that are not in a workflow any more are left out.
    pub fn all(examined: &Examined<'a>) -> Vec<Self> {
        let mut steps: BTreeMap<(&str, &str), Vec<&StepUsage>> = BTreeMap::new();
        for counted in examined.calls {
            let key = (counted.allocation.workflow.as_str(), counted.usage.step.as_str());
            steps.entry(key).or_default().push(&counted.usage);
        }
        let measured = steps.into_iter().filter_map(|((workflow, id), calls)| {
            let configuration = examined.configurations.get(workflow)?;
            let step = configuration.template.steps.iter().find(|step| step.id == id)?;
            Some(Self { workflow, step, configuration, calls })
        });
        measured.collect()
    }

    /// Returns the name: `<workflow>.<step>`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.workflow, self.step.id)
    }

    /// Returns the workflow and the step as JSON.
    pub fn about(&self) -> Value {
        json!({ "workflow": self.workflow, "step": self.step.id })
    }

    /// Returns the document of the workflow.
    pub fn document(&self) -> String {
        format!("workflows/{}.yaml", self.workflow)
    }

    /// Returns the path of a key of the step.
    pub fn key(&self, key: &str) -> String {
        format!("steps.{}.{key}", self.step.id)
    }

    /// Returns the model of the step, unless `models.yaml` does not have it any more.
    pub fn model(&self) -> Option<&'a Model> {
        self.configuration.models.models.get(&self.step.model)
    }

    /// Returns the sums of all calls.
    pub fn sums(&self) -> Sums {
        sums(&self.calls, |_| true)
    }

    /// Returns the sums of the calls on demand.
    pub fn on_demand(&self) -> Sums {
        sums(&self.calls, is_on_demand)
    }

    /// Returns the sums of the calls on demand to a target. The ledger does not tell targets apart by guardrail.
    pub fn of_target(&self, target: &Target) -> Sums {
        let is_of = |usage: &StepUsage| {
            let line = &usage.line;
            is_on_demand(usage) && line.region == target.region && line.model_id == target.model_id
        };
        sums(&self.calls, is_of)
    }

    /// Returns the number of answers whose length is known.
    pub fn answers(&self) -> u64 {
        self.calls.iter().map(|usage| usage.detail.answer_tokens.count()).sum()
    }

    /// Returns the target of the step's model that got the most calls, with what it takes. Returns `None` if no target
    /// of the model was called.
    pub fn most_called(&self) -> Option<(&'a Target, Takes)> {
        let model = self.model()?;
        let called = model.targets.iter().zip(model.taken());
        let called = called.map(|(listed, takes)| {
            let calls = self.of_target(&listed.target).line.calls;
            (calls, (&listed.target, takes))
        });
        // Of several targets with as many calls, the first one counts.
        let most = called.filter(|(calls, _)| *calls > 0).rev().max_by_key(|(calls, _)| *calls);
        most.map(|(_, target)| target)
    }
}

fn is_on_demand(usage: &StepUsage) -> bool {
    usage.tier != Tier::Batch.name()
}

fn sums(calls: &[&StepUsage], is_wanted: impl Fn(&StepUsage) -> bool) -> Sums {
    let mut sums = Sums::default();
    calls.iter().filter(|usage| is_wanted(usage)).for_each(|usage| sums.add_calls(usage));
    sums
}

/// Returns the number of calls that returned an answer, valid or not.
pub fn answered(sums: &Sums) -> u64 {
    let invalid = sums.detail.errors.get(ErrorName::OutputInvalid.as_str());
    sums.line.calls - sums.line.failed_calls + invalid.copied().unwrap_or_default()
}

/// Returns the mean number of tokens in the prompts of calls that returned an answer.
pub fn mean_prompt(sums: &Sums) -> u64 {
    let tokens = sums.line.totals.known_usage().prompt_tokens();
    tokens.checked_div(answered(sums)).unwrap_or_default()
}

/// A batch that ran on demand and could have run in bulk.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredBatch {
    pub workflow: String,
    pub batch_id: String,
    pub items: u64,
    /// The known cost of its calls, as far as bulk jobs would have made them, in USD.
    pub usd: Decimal,
    /// What these calls would have cost as records of bulk jobs, in USD.
    pub usd_in_bulk: Decimal,
}
