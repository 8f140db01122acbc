//! What a run would use and cost, told before it is made: a rule of thumb and no promise. Calls that fail, repairs
//! and other targets than the first are not in it.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;

use super::{Plan, tokens};
use crate::attempt::Usage;
use crate::parameters::Parameters;
use crate::pricing::Price;
use crate::routing::{Route, RouteTarget};
use crate::run::StepRef;
use crate::template::{CacheTtl, Step};

/// Of one run or of many.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Calls of models.
    pub calls: u64,
    /// Of what is known before the first call.
    pub input_tokens_least: u64,
    /// With the answers that later steps read, each as long as it may be.
    pub input_tokens_most: u64,
    /// Every answer as long as it may be.
    pub output_tokens_most: u64,
    /// Nothing answered, everything that may be cached read from there.
    pub cost_least_usd: Decimal,
    /// Everything as long as it may be, nothing in a cache.
    pub cost_most_usd: Decimal,
    /// Models that the price file does not know; what they cost is not in it.
    pub unpriced: BTreeSet<String>,
}

impl Estimate {
    /// Of both together.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.input_tokens_least += other.input_tokens_least;
        self.input_tokens_most += other.input_tokens_most;
        self.output_tokens_most += other.output_tokens_most;
        self.cost_least_usd += other.cost_least_usd;
        self.cost_most_usd += other.cost_most_usd;
        self.unpriced.extend(other.unpriced);
    }

    /// What is in it of one call.
    fn call(&mut self, least: &Usage, most: &Usage, target: Option<&str>, price: Option<&Price>) {
        self.calls += 1;
        self.input_tokens_least += tokens_in(least);
        self.input_tokens_most += tokens_in(most);
        self.output_tokens_most += most.output_tokens;
        match price {
            Some(price) => {
                self.cost_least_usd += price.cost(least);
                self.cost_most_usd += price.cost(most);
            }
            None => self.unpriced.extend(target.map(str::to_owned)),
        }
    }
}

impl Plan {
    /// What a run of this plan would use and cost at its own prices.
    pub fn estimate(&self) -> Estimate {
        let mut estimate = Estimate::default();
        for execution in self.waves.iter().flat_map(|wave| &wave.steps) {
            let Some(step) = self.step(&execution.step) else { continue };
            let route = self.routes.get(&execution.route);
            let target = route.and_then(first);
            let model = target.map(|first| first.target.model_id.as_str());
            let price = model.and_then(|model| self.prices.get(model));
            let takes = route.zip(target).and_then(|(r, first)| self.takes(step, r, &first.target));
            let max_tokens = takes.map_or(step.answer_tokens(), |takes| {
                Parameters::of(step, takes, false).max_tokens
            });
            let (least, most) = self.bounds(step, max_tokens);
            estimate.call(&least, &most, model, price);
        }
        estimate
    }

    /// The least and the most that one execution of a step uses.
    fn bounds(&self, step: &Step, max_tokens: u32) -> (Usage, Usage) {
        let of = |template: Option<&String>| {
            tokens::of(template.map(String::as_str), step, &self.inputs)
        };
        let (prompt, system) = (of(Some(&step.prompt)), of(step.system.as_ref()));
        let mut least = Usage { input_tokens: prompt, ..Usage::default() };
        let (answers, output_tokens) = (self.needed(step), u64::from(max_tokens));
        let mut most = Usage { input_tokens: prompt + answers, output_tokens, ..Usage::default() };
        match step.cache {
            None => {
                least.input_tokens += system;
                most.input_tokens += system;
            }
            Some(lasts) => {
                least.cache_read_tokens = system;
                match lasts {
                    CacheTtl::FiveMinutes => most.cache_write_5m_tokens = system,
                    CacheTtl::Hour => most.cache_write_1h_tokens = system,
                }
            }
        }
        (least, most)
    }

    /// Tokens of the answers that a step reads, at most.
    fn needed(&self, step: &Step) -> u64 {
        let executions = self.waves.iter().flat_map(|wave| &wave.steps);
        let needed = executions.filter(|execution| step.needs.contains(&execution.step));
        let most = |execution: &StepRef| {
            self.step(&execution.step).map_or(0, |step| u64::from(step.answer_tokens()))
        };
        needed.map(most).sum()
    }
}

/// The target that is asked first while all are well.
fn first(route: &Route) -> Option<&RouteTarget> {
    let allowed = route.targets.iter().enumerate();
    let allowed = allowed.filter(|(_, listed)| route.policy.allows(&listed.target));
    let place = |at: usize, listed: &RouteTarget| listed.priority.unwrap_or(at as u32);
    allowed.min_by_key(|(at, listed)| place(*at, listed)).map(|(_, listed)| listed)
}

fn tokens_in(usage: &Usage) -> u64 {
    usage.input_tokens
        + usage.cache_read_tokens
        + usage.cache_write_5m_tokens
        + usage.cache_write_1h_tokens
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::of;
    use crate::policy::Policy;

    const TWO: &str = "version: 1\nname: two\ninputs:\n  text: { type: string }\n  parts: { type: list }\nsteps:\n- { id: each, model: haiku, prompt: \"{{ item }}{{ inputs.text }}\", for_each: inputs.parts, max_tokens: 100 }\n- { id: all, model: haiku, system: Be brief and to the point., cache: 1h, prompt: \"{{ steps.each }}\", needs: [each], max_tokens: 50 }\n";

    fn estimate(inputs: serde_json::Value) -> Estimate {
        let request = json!({ "workflow": "two", "inputs": inputs });
        of(TWO, request, Policy::default()).unwrap().estimate()
    }

    #[test]
    fn the_inputs_decide_the_least_and_the_answers_the_most() {
        let short = estimate(json!({ "text": "x", "parts": ["a", "b", "c"] }));
        let long = estimate(json!({ "text": "x".repeat(401), "parts": ["a", "b", "c"] }));
        assert_eq!((short.calls, long.calls), (4, 4));
        assert_eq!(long.input_tokens_least - short.input_tokens_least, 300);
        assert_eq!(short.output_tokens_most, 3 * 100 + 50);
        assert_eq!(short.input_tokens_most - short.input_tokens_least, 300, "three answers");
    }

    #[test]
    fn what_may_be_cached_is_read_at_best_and_written_at_worst() {
        let nothing = estimate(json!({ "text": "", "parts": [] }));
        // One call: 16 bytes of prompt, 28 of system. Haiku costs 1.1, 5.5, 0.11 and 2.2 dollars a million.
        let (prompt, system, answer) = (16 / 4, 27 / 4, 50);
        assert_eq!((nothing.calls, nothing.input_tokens_least), (1, prompt + system));
        let usd = |micros: Decimal| micros / Decimal::from(1_000_000);
        let dollars = |cents: i64, tokens: u64| Decimal::new(cents, 2) * Decimal::from(tokens);
        assert_eq!(nothing.cost_least_usd, usd(dollars(110, prompt) + dollars(11, system)));
        let most = dollars(110, prompt) + dollars(220, system) + dollars(550, answer);
        assert_eq!(nothing.cost_most_usd, usd(most));
    }

    #[test]
    fn a_model_without_a_price_is_named_and_counts_nothing() {
        let mut plan = of(TWO, json!({ "workflow": "two" }), Policy::default()).unwrap();
        plan.prices.clear();
        let estimate = plan.estimate();
        assert_eq!((estimate.cost_most_usd, estimate.unpriced.len()), (Decimal::ZERO, 1));
        let mut sum = estimate.clone();
        sum.add(estimate.clone());
        assert_eq!((sum.calls, sum.unpriced), (2 * estimate.calls, estimate.unpriced));
    }

    #[test]
    fn the_first_target_is_one_that_policy_allows() {
        let request = json!({ "workflow": "two" });
        let plan = of(TWO, request, Policy::default()).unwrap();
        let mut route = plan.routes["haiku"].clone();
        assert_eq!(first(&route).unwrap().target.region, "us-east-1");
        route.targets[0].priority = Some(9);
        assert_eq!(first(&route).unwrap().target.region, "us-west-2");
        route.policy.allowed_regions = vec!["eu-west-1".into()];
        assert_eq!(first(&route), None);
    }
}
