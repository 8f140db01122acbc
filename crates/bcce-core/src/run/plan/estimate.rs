//! Estimates the usage and cost of a run before it starts. The estimate leaves out failed calls, repairs and targets
//! other than the first. It is not a limit.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Serialize;
use time::OffsetDateTime;

use crate::base::target::Target;
use crate::base::usage::Usage;
use crate::call::parameters::Parameters;
use crate::config::cache::CacheTtl;
use crate::config::models::RouteTarget;
use crate::config::pricing::PriceRow;
use crate::config::template::Step;
use crate::failover::route::Route;
use crate::run::ids::StepRef;
use crate::run::plan::{Plan, tokens};

/// The estimated usage and cost of one run or of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The number of calls.
    pub calls: u64,
    /// The fewest input tokens: those known before the first call, of the steps that do not use the response cache.
    pub input_tokens_least: u64,
    /// The most input tokens: includes the answers that later steps read, each at its longest.
    pub input_tokens_most: u64,
    /// The most output tokens: every answer at its longest.
    pub output_tokens_most: u64,
    /// The lowest cost in USD: no output, every prompt that may be cached is read from the cache, and every step that
    /// uses the response cache is answered from it.
    pub cost_least_usd: Decimal,
    /// The highest cost in USD: every answer at its longest, and no prompt is read from a cache.
    pub cost_most_usd: Decimal,
    /// The models without a price for that day. Their cost is not included.
    pub unpriced: BTreeSet<String>,
}

impl Estimate {
    /// Adds another estimate.
    pub fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.input_tokens_least += other.input_tokens_least;
        self.input_tokens_most += other.input_tokens_most;
        self.output_tokens_most += other.output_tokens_most;
        self.cost_least_usd += other.cost_least_usd;
        self.cost_most_usd += other.cost_most_usd;
        self.unpriced.extend(other.unpriced);
    }

    /// Adds one call. The long-prompt price may apply to `most` and not to `least`.
    fn call(
        &mut self,
        least: &Usage,
        most: &Usage,
        target: Option<&Target>,
        rate: Option<Rate<'_>>,
    ) {
        self.calls += 1;
        self.input_tokens_least += least.prompt_tokens();
        self.input_tokens_most += most.prompt_tokens();
        self.output_tokens_most += most.output_tokens;
        match rate {
            Some((row, cost)) => {
                self.cost_least_usd += cost(row, least);
                self.cost_most_usd += cost(row, most);
            }
            None => self.unpriced.extend(target.map(|target| target.model_id.clone())),
        }
    }
}

/// A price and the function that applies it, either to a call or to a record of a bulk job.
type Rate<'a> = (&'a PriceRow, fn(&PriceRow, &Usage) -> Decimal);

impl Plan {
    /// Estimates a run of this plan, at the plan's prices for the day of `at`.
    pub fn estimate(&self, at: OffsetDateTime) -> Estimate {
        let mut estimate = Estimate::default();
        for execution in self.waves.iter().flat_map(|wave| &wave.steps) {
            let Some(step) = self.step(&execution.step) else { continue };
            let route = self.routes.get(&execution.route);
            let target = route.and_then(first).map(|first| &first.target);
            let row = target.and_then(|target| self.price(&target.model_id, at));
            let (mut least, most) =
                self.bounds(step, route.zip(target), step.cache.map(|cache| cache.ttl));
            if step.response_cache.is_some() {
                // An earlier answer may answer the step.
                least = Usage::default();
            }
            estimate.call(&least, &most, target, row.map(|row| (row, PriceRow::cost as _)));
        }
        estimate
    }

    /// Estimates a run of this plan as a record of a bulk job, which uses no prompt cache.
    pub fn estimate_in_bulk(&self, step: &Step, target: &Target, at: OffsetDateTime) -> Estimate {
        let mut estimate = Estimate::default();
        let row = self.price(&target.model_id, at);
        let route = self.routes.values().next();
        let (least, most) = self.bounds(step, route.map(|route| (route, target)), None);
        estimate.call(&least, &most, Some(target), row.map(|row| (row, PriceRow::batch_cost as _)));
        estimate
    }

    /// Returns the least and the most usage of one execution of a step.
    fn bounds(
        &self,
        step: &Step,
        called: Option<(&Route, &Target)>,
        cache: Option<CacheTtl>,
    ) -> (Usage, Usage) {
        let whole = [Some(step.prompt.as_str()), step.system.as_deref()].into_iter().flatten();
        let prefix = step.cached_prefixes().pop().map(|prefix| [prefix.system, prefix.prompt]);
        let prefix = tokens::of(prefix.into_iter().flatten(), step, &self.inputs);
        let prompt = tokens::of(whole, step, &self.inputs).saturating_sub(prefix);
        let mut least = Usage { input_tokens: prompt, ..Usage::default() };
        let takes = called.and_then(|(route, target)| self.takes(step, route, target));
        let max_tokens = takes
            .map_or(step.answer_tokens(), |takes| Parameters::of(step, takes, false).max_tokens);
        let answers = self.needed(step);
        let output_tokens = u64::from(max_tokens);
        let mut most = Usage { input_tokens: prompt + answers, output_tokens, ..Usage::default() };
        match cache {
            None => {
                least.input_tokens += prefix;
                most.input_tokens += prefix;
            }
            Some(lasts) => {
                least.cache_read_tokens = prefix;
                match lasts {
                    CacheTtl::FiveMinutes => most.cache_write_5m_tokens = prefix,
                    CacheTtl::Hour => most.cache_write_1h_tokens = prefix,
                }
            }
        }
        (least, most)
    }

    /// Returns the most tokens of the answers that a step reads.
    fn needed(&self, step: &Step) -> u64 {
        let executions = self.waves.iter().flat_map(|wave| &wave.steps);
        let needed = executions.filter(|execution| step.needs.contains(&execution.step));
        let most = |execution: &StepRef| {
            self.step(&execution.step).map_or(0, |step| u64::from(step.answer_tokens()))
        };
        needed.map(most).sum()
    }
}

/// Returns the target that is called first while all are healthy.
fn first(route: &Route) -> Option<&RouteTarget> {
    let allowed = route.targets.iter().enumerate();
    let allowed = allowed.filter(|(_, listed)| route.allows(&listed.target));
    let place = |at: usize, listed: &RouteTarget| listed.priority.unwrap_or(at as u32);
    allowed.min_by_key(|(at, listed)| place(*at, listed)).map(|(_, listed)| listed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::{date, datetime};

    use super::*;
    use crate::config::policy::Policy;
    use crate::config::pricing::{LongPrompt, Price, PriceRows};
    use crate::run::plan::tests::of;

    const NOW: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    const TWO: &str = "version: 1\nname: two\ninputs:\n  text: { type: string }\n  parts: { type: list }\nsteps:\n- { id: each, model: haiku, prompt: \"{{ item }}{{ inputs.text }}\", for_each: inputs.parts, max_tokens: 100 }\n- { id: all, model: haiku, system: Be brief and to the point., cache: 1h, prompt: \"{{ steps.each }}\", needs: [each], max_tokens: 50 }\n";

    fn estimate(inputs: serde_json::Value) -> Estimate {
        let request = json!({ "workflow": "two", "inputs": inputs });
        of(TWO, request, Policy::default()).unwrap().estimate(NOW)
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
        // One call: a prompt of 16 bytes and a system prompt of 28. Haiku costs 0.11, 0.55, 0.011 and 0.22 dollars per
        // million tokens.
        let prompt = 16 / 4;
        let system = 27 / 4;
        let answer = 50;
        assert_eq!((nothing.calls, nothing.input_tokens_least), (1, prompt + system));
        let usd = |micros: Decimal| micros / Decimal::from(1_000_000);
        let dollars = |mills: i64, tokens: u64| Decimal::new(mills, 3) * Decimal::from(tokens);
        assert_eq!(nothing.cost_least_usd, usd(dollars(110, prompt) + dollars(11, system)));
        let most = dollars(110, prompt) + dollars(220, system) + dollars(550, answer);
        assert_eq!(nothing.cost_most_usd, usd(most));
    }

    #[test]
    fn a_step_that_uses_the_response_cache_may_cost_nothing() {
        let of = |yaml: &str| {
            let request = json!({ "workflow": "one", "inputs": {} });
            of(yaml, request, Policy::default()).unwrap().estimate(NOW)
        };
        let yaml = "version: 1\nname: one\nsteps:\n- { id: a, model: haiku, prompt: Say yes and no., response_cache: 7d }\n";
        let (cached, called) = (of(yaml), of(&yaml.replace(", response_cache: 7d", "")));
        assert_eq!((cached.cost_least_usd, cached.input_tokens_least), (Decimal::ZERO, 0));
        assert!(called.cost_least_usd > Decimal::ZERO);
        assert_eq!((cached.calls, cached.cost_most_usd), (1, called.cost_most_usd));
    }

    #[test]
    fn a_marked_prefix_is_read_at_best_and_written_at_worst() {
        let template = "version: 1\nname: marked\ninputs:\n  book: { type: string }\n  text: { type: string }\nsteps:\n- { id: a, model: haiku, cache: 1h, prompt: \"{{ inputs.book | cached }}{{ inputs.text }}\", max_tokens: 10 }\n";
        let of = |book: usize| {
            let inputs = json!({ "book": "x".repeat(book), "text": "y" });
            let request = json!({ "workflow": "marked", "inputs": inputs });
            of(template, request, Policy::default()).unwrap().estimate(NOW)
        };
        let (short, long) = (of(4_000), of(8_000));
        let usd = |mills: i64| Decimal::new(mills * 1_000, 3) / Decimal::from(1_000_000);
        assert_eq!(long.cost_least_usd - short.cost_least_usd, usd(11), "1,000 tokens are read");
        assert_eq!(long.cost_most_usd - short.cost_most_usd, usd(220), "and written");
        assert_eq!(long.input_tokens_most - short.input_tokens_most, 1_000);
    }

    /// The prompt of step `b` has 1,000 tokens in addition to the answer of step `a`.
    const LONG: &str = "version: 1\nname: two\nsteps:\n- { id: a, model: haiku, prompt: x, max_tokens: 600 }\n- { id: b, model: haiku, prompt: z, system: \"SYSTEM\", cache: 5m, needs: [a], max_tokens: 10 }\n";

    /// Returns a plan with one price from 2026-11-01 on, and ten times that price above 1,500 tokens.
    fn long() -> Plan {
        let template = LONG.replace("SYSTEM", &"s".repeat(4_000));
        let mut plan = of(&template, json!({ "workflow": "two" }), Policy::default()).unwrap();
        for rows in plan.prices.values_mut() {
            let price = rows.0[0].price;
            let dear = Price { input: price.input * Decimal::TEN, ..price };
            let long_prompt = Some(LongPrompt { above_tokens: 1_500, price: dear });
            let from = date!(2026 - 11 - 01);
            *rows = PriceRows(vec![PriceRow { from, long_prompt, ..rows.0[0].clone() }]);
        }
        plan
    }

    #[test]
    fn the_most_has_the_price_of_a_long_prompt_where_it_may_become_one() {
        let (mut plan, usd) = (long(), |plan: &Plan| plan.estimate(NOW).cost_most_usd);
        let above = usd(&plan);
        let called = &plan.routes["haiku"].targets[0].target.model_id;
        let price = plan.prices[called].0[0].price;
        let limit = |plan: &mut Plan, tokens| {
            let rows = plan.prices.values_mut().flat_map(|rows| &mut rows.0);
            rows.for_each(|row| row.long_prompt.as_mut().unwrap().above_tokens = tokens);
        };
        // 1,000 tokens of the cached system prompt and 600 of the other step's answer.
        limit(&mut plan, 1_600);
        let at = usd(&plan);
        let dearer = price.input * Decimal::from(9 * 600) / Decimal::from(1_000_000);
        assert_eq!(above - at, dearer, "input alone is dearer in this price");
        let least = plan.estimate(NOW).cost_least_usd;
        limit(&mut plan, 1_500);
        assert_eq!(plan.estimate(NOW).cost_least_usd, least);
    }

    #[test]
    fn an_estimate_has_the_prices_of_its_day() {
        let plan = long();
        let before = plan.estimate(datetime!(2026-10-31 23:59 UTC));
        assert_eq!((before.cost_most_usd, before.unpriced.len()), (Decimal::ZERO, 1));
        assert!(plan.estimate(NOW).unpriced.is_empty());
    }

    #[test]
    fn a_job_caches_nothing_and_has_its_own_target_and_factor() {
        let mut plan = long();
        let step = plan.steps[1].clone();
        let mut target = plan.routes["haiku"].targets[1].target.clone();
        target.model_id = "us.anthropic.claude-other".into();
        let at_factor = |plan: &mut Plan, factor| {
            let mut rows = plan.prices.values().next().unwrap().clone();
            rows.0[0].batch_factor = Some(Decimal::new(factor, 1));
            plan.prices.insert(target.model_id.clone(), rows);
            plan.estimate_in_bulk(&step, &target, NOW)
        };
        let whole = at_factor(&mut plan, 10);
        let price = plan.prices[&target.model_id].0[0].price;
        assert_eq!((whole.calls, whole.input_tokens_least), (1, 1_000));
        let least = price.input * Decimal::from(1_000) / Decimal::from(1_000_000);
        assert_eq!(whole.cost_least_usd, least, "no token of it is read from a cache");
        let fifth = at_factor(&mut plan, 2);
        assert_eq!(fifth.cost_least_usd * Decimal::from(5), whole.cost_least_usd);
        assert_eq!(fifth.cost_most_usd * Decimal::from(5), whole.cost_most_usd);
        plan.prices.remove(&target.model_id);
        let unknown = plan.estimate_in_bulk(&step, &target, NOW);
        assert_eq!(unknown.unpriced, BTreeSet::from([target.model_id]));
    }

    #[test]
    fn a_model_without_a_price_is_named_and_counts_nothing() {
        let mut plan = of(TWO, json!({ "workflow": "two" }), Policy::default()).unwrap();
        plan.prices.clear();
        let estimate = plan.estimate(NOW);
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
