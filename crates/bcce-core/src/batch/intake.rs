//! Turns the rows or objects of a batch's source into items. Each item is mapped, gets an id, and is checked for
//! everything that would refuse its run. Opening a batch and `bcce batch submit --dry-run` use the same code.

use std::collections::HashMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::base::error::{Fault, Problems};
use crate::base::figures::count;
use crate::base::limits::{MAX_REQUEST_BYTES, MAX_STEPS};
use crate::batch::item::{Entry, Ids, Item, Mapping, Object, Rejected};
use crate::batch::message::{Mode, StoredBatch};
use crate::batch::reader::Row;
use crate::batch::reference::BatchRef;
use crate::config::admission::Sender;
use crate::config::budgets::{Scope, Unit, WorstCaseLimit};
use crate::config::configuration::Configuration;
use crate::config::routing::Retries;
use crate::document::inputs::InputSpecs;
use crate::run::plan::worst::WorstCase;
use crate::run::plan::{Plan, Refused, Sources};

/// Takes in the rows or objects of a batch, one after the other.
pub struct Intake<'a> {
    batch: &'a StoredBatch,
    reference: BatchRef,
    configuration: &'a Configuration,
    mapping: Mapping<'a>,
    prefix: String,
    ids: Ids,
    taken: u64,
    /// The number of items in `worst`.
    counted: u64,
    /// The sum of the worst cases of the items so far.
    worst: WorstCase,
    /// The number of objects without a worst case: their sample text is refused, and a run has no limit in the unit of
    /// the batch's limit.
    unbounded: u64,
    /// The worst cases of objects, by size rounded up. With this cache, a million objects are listed in minutes. `None`
    /// if nothing limits the run.
    worst_by_size: HashMap<u64, Option<WorstCase>>,
}

/// The unit to which sizes of objects are rounded up. If the next power of two above a sixteenth of the size is larger,
/// that is the unit. This makes a few hundred sizes in all.
const SIZE_STEP: u64 = 1_024;
/// The length in bytes of the key of an object that stands for all objects of its size. No key in S3 is longer.
const LONGEST_KEY: usize = 1_024;

/// An entry with the plan that its run would have. The plan is `None` if the entry is rejected or if its text has not
/// been read yet.
pub struct Taken {
    pub entry: Entry,
    pub plan: Option<Plan>,
}

/// A value that represents all items of a batch. It is taken from the first item without a model of its own, or else
/// from the first item.
#[derive(Debug)]
pub struct Typical<T> {
    found: Option<T>,
    has_own_model: bool,
}

impl<T> Default for Typical<T> {
    fn default() -> Self {
        Self { found: None, has_own_model: false }
    }
}

impl<T> Typical<T> {
    /// Considers `entry`. Calls `of` if the entry represents the items better than the one before.
    pub fn note(&mut self, entry: &Entry, of: impl FnOnce() -> Option<T>) {
        let Entry::Item(item) = entry else { return };
        let has_own_model = item.model.is_some();
        let is_better = self.found.is_none() || (self.has_own_model && !has_own_model);
        if is_better && let Some(found) = of() {
            *self = Self { found: Some(found), has_own_model };
        }
    }

    /// Returns the value, or `None` if there was none.
    pub fn get(&self) -> Option<&T> {
        self.found.as_ref()
    }
}

impl<'a> Intake<'a> {
    /// Returns an intake that has taken in nothing yet.
    pub fn new(batch: &'a StoredBatch, configuration: &'a Configuration) -> Self {
        let specs: &InputSpecs = &configuration.template.inputs;
        Self {
            batch,
            reference: batch.reference(),
            configuration,
            mapping: Mapping::new(batch, specs),
            prefix: batch.batch.location().map(|location| location.key).unwrap_or_default(),
            ids: Ids::default(),
            taken: 0,
            counted: 0,
            worst: WorstCase::default(),
            unbounded: 0,
            worst_by_size: HashMap::new(),
        }
    }

    /// Checks what the sender decides for all items. If something is forbidden, the batch is refused as a whole.
    ///
    /// # Errors
    /// Returns `Bcce.PolicyViolation` with everything that is forbidden, or `Bcce.InvalidRequest` if the batch's model
    /// does not exist.
    pub fn check_sender(&self) -> Result<(), Fault> {
        let batch = self.batch;
        let models = &self.configuration.models;
        if let Some(alias) =
            batch.model.as_ref().filter(|alias| !models.models.contains_key(*alias))
        {
            return Err(Problems::one("model", models.unknown(alias)).into());
        }
        let model = batch.model.as_deref();
        let sender = Sender { tenant: &batch.tenant, model, tags: &batch.tags };
        let forbidden = self.configuration.check_sender(&sender);
        if forbidden.is_empty() {
            return Ok(());
        }
        Err(Refused { forbidden, ..Refused::default() }.into())
    }

    /// Returns the sum of the worst cases of the items so far. An object counts as a text of its size.
    pub fn worst_case(&self) -> &WorstCase {
        &self.worst
    }

    /// Checks the items so far against the limits of a batch.
    ///
    /// # Errors
    /// Returns `Bcce.BudgetExceeded` with the figures.
    pub fn check_limits(&self) -> Result<(), Fault> {
        let limits = self.configuration.limits(&Scope::Batch);
        let mut unaffordable = self.worst.check_batch(&limits, self.counted);
        let runs = self.configuration.limits(&Scope::Run);
        let lacks = |limit: &&WorstCaseLimit| of_unit(&runs, limit.unit).is_none();
        for limit in limits.iter().filter(|limit| self.unbounded > 0 && lacks(limit)) {
            unaffordable.add(&limit.field, unknown(self.unbounded, limit.unit));
        }
        if unaffordable.is_empty() {
            return Ok(());
        }
        Err(Refused { unaffordable, ..Refused::default() }.into())
    }

    fn count(&mut self, worst: &WorstCase) {
        self.counted += 1;
        self.worst.add(worst);
    }

    /// Returns the worst case of an item. If the batch may run in bulk, it includes the item's record.
    fn worst_of(&self, plan: &Plan) -> WorstCase {
        match self.batch.batch.mode {
            Mode::OnDemand => plan.worst_case.clone().unwrap_or_default(),
            Mode::Bulk | Mode::Auto => plan.worst_case_in_bulk(),
        }
    }

    /// Returns the worst case of an object, computed for a sample text of its size. The sample does not help if it is
    /// refused, or if the text decides the number of calls. Then the limit of a run is the worst case. Returns `None`
    /// if nothing limits the run.
    fn worst_of_object(&mut self, item: &Item, bytes: u64) -> Option<WorstCase> {
        let step = SIZE_STEP.max((bytes / 16).next_power_of_two());
        let size = bytes.next_multiple_of(step).min(MAX_REQUEST_BYTES as u64);
        if let Some(known) = self.worst_by_size.get(&size) {
            return known.clone();
        }
        let fans_out = self.configuration.template.steps.iter().any(|step| step.list().is_some());
        let of = |bytes: u64| {
            let sample = self
                .plan_with(
                    longest_key(item),
                    &"x".repeat(usize::try_from(bytes).unwrap_or(MAX_REQUEST_BYTES)),
                )
                .ok();
            sample.filter(|_| !fans_out).map(|plan| self.worst_of(&plan))
        };
        // Without a limit of a run, only the rounding may have made the sample too large: its own size is tried as
        // well.
        let worst = of(size).or_else(|| self.most_of_a_run()).or_else(|| of(bytes));
        self.worst_by_size.insert(size, worst.clone());
        worst
    }

    /// Returns the limits of a run as a worst case. The record of a bulk job costs no more than its run. Returns `None`
    /// unless a run has a limit in each unit in which the batch has one, or in USD if the batch has none.
    fn most_of_a_run(&self) -> Option<WorstCase> {
        let runs = self.configuration.limits(&Scope::Run);
        let batch = self.configuration.limits(&Scope::Batch);
        let mut needed = batch.iter().map(|limit| limit.unit).collect::<Vec<_>>();
        if needed.is_empty() {
            needed.push(Unit::Usd);
        }
        if needed.iter().any(|unit| of_unit(&runs, *unit).is_none()) {
            return None;
        }
        let usd = of_unit(&runs, Unit::Usd).unwrap_or_default();
        let tokens =
            of_unit(&runs, Unit::Tokens).and_then(|most| most.to_u64()).unwrap_or_default();
        let of = |calls| WorstCase { calls, usd, tokens, ..WorstCase::default() };
        let mut worst = of(2 * MAX_STEPS as u64);
        if self.batch.batch.mode != Mode::OnDemand {
            worst.add(&of(MAX_STEPS as u64));
        }
        Some(worst)
    }

    /// Takes in a row.
    pub fn row(&mut self, row: Row) -> Taken {
        self.taken += 1;
        let n = self.taken;
        let line = row.line;
        let item = row.value.and_then(|row| self.mapping.item(n, line, row));
        let item = match item {
            Ok(item) => item,
            Err(problems) => return rejected(n, line, None, problems.into()),
        };
        if let Err(problems) = self.ids.insert(&item.id, line) {
            return rejected(n, line, Some(item.id), problems.into());
        }
        match self.plan(&item) {
            Ok(plan) => {
                self.count(&self.worst_of(&plan));
                Taken { entry: Entry::Item(Box::new(item)), plan: Some(plan) }
            }
            Err(fault) => rejected(n, line, Some(item.id), fault),
        }
    }

    /// Takes in an object. Returns `None` if it stands for a folder, as the S3 console creates them.
    pub fn object(&mut self, object: Object) -> Option<Taken> {
        if object.key.ends_with('/') {
            return None;
        }
        self.taken += 1;
        let n = self.taken;
        let bytes = object.bytes;
        let item = self.mapping.object(n, &self.prefix, object);
        let cause = match bytes {
            0 => Some("is empty".to_owned()),
            bytes if bytes > MAX_REQUEST_BYTES as u64 => {
                Some(format!("is {bytes} bytes (limit: {MAX_REQUEST_BYTES})"))
            }
            _ => None,
        };
        if cause.is_none() {
            match self.worst_of_object(&item, bytes) {
                Some(worst) => self.count(&worst),
                None => self.unbounded += 1,
            }
        }
        Some(match cause {
            Some(cause) => rejected(n, n, Some(item.id), Problems::one("object", cause).into()),
            None => Taken { entry: Entry::Item(Box::new(item)), plan: None },
        })
    }

    /// Returns the plan of the run that an object would become if `text` were its text.
    ///
    /// # Errors
    /// Returns the reason why the run would be refused.
    pub fn plan_with(&self, item: Item, text: &str) -> Result<Plan, Fault> {
        self.plan(&self.mapping.with_text(item, text)?)
    }

    /// Returns the plan of the item's run.
    ///
    /// # Errors
    /// Returns the reason why the run would be refused.
    pub fn plan(&self, item: &Item) -> Result<Plan, Fault> {
        let request = item.request(self.batch, &self.reference);
        // dispatch makes the same checks: length, tags and the model's name.
        request.check().none_or(())?;
        // Retries do not affect whether a plan is refused.
        let retries = Retries::default();
        let sources = Sources { request: &request, configuration: self.configuration, retries };
        Plan::resolve(&sources).map_err(Fault::from)
    }
}

/// Returns the limit in this unit.
fn of_unit(limits: &[WorstCaseLimit], unit: Unit) -> Option<Decimal> {
    limits.iter().find(|limit| limit.unit == unit).map(|limit| limit.limit)
}

/// Returns the cause for objects whose worst case is unknown in the unit of a limit.
fn unknown(objects: u64, unit: Unit) -> String {
    let unit = match unit {
        Unit::Usd => "usd",
        Unit::Tokens => "tokens",
    };
    format!(
        "the worst case of {} objects is not known before they are read; add a budget `{{ scope: run, {unit}: … }}` \
         to budgets.yaml, which then counts for each of them",
        count(objects)
    )
}

fn longest_key(item: &Item) -> Item {
    let mut item = item.clone();
    if let Some(object) = &mut item.object {
        object.key = "k".repeat(LONGEST_KEY);
    }
    item
}

fn rejected(n: u64, line: u64, id: Option<String>, error: Fault) -> Taken {
    Taken { entry: Entry::Rejected(Rejected { n, line, id, error }), plan: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::message::{BatchRequest, BatchSpec, ItemField};
    use crate::batch::reader::RowReader;
    use crate::config::budgets::Budgets;
    use crate::config::policy::Policy;
    use crate::config::profiles::Profiles;
    use crate::config::routing::Routing;
    use crate::document::{Document, from_yaml};

    const MODELS: &str = include_str!("../../../../infra/config/dev/models.yaml");
    const PRICES: &str = include_str!("../../../../infra/config/dev/prices.yaml");
    const WORKFLOW: &str = include_str!("../../../../infra/config/dev/workflows/explain.yaml");

    fn read<T: Document>(yaml: &str) -> T {
        from_yaml(yaml).finished().unwrap()
    }

    fn taken(manifest: &str) -> Vec<String> {
        let configuration = Configuration {
            template: read(WORKFLOW),
            template_sha256: "t".into(),
            models: read(MODELS),
            routing: Routing::default(),
            policy: Policy::default(),
            policy_sha256: "p".into(),
            profiles: Profiles::default(),
            budgets: Budgets::default(),
            prices: read(PRICES),
        };
        let request = BatchRequest {
            workflow: "explain".into(),
            id: Some("nightly".into()),
            batch: BatchSpec {
                source: "s3://bucket/a.jsonl".into(),
                items_may_set: vec![ItemField::Model, ItemField::Tags],
                ..BatchSpec::default()
            },
            ..BatchRequest::default()
        };
        let batch = StoredBatch::new(request, "default", "m");
        let mut intake = Intake::new(&batch, &configuration);
        let mut reader = RowReader::new(batch.batch.format().unwrap()).unwrap();
        let mut reported = Vec::new();
        let mut each = |row| {
            let taken = intake.row(row);
            reported.push(match taken.entry {
                Entry::Item(item) => format!("{} {} {}", item.n, item.id, taken.plan.is_some()),
                Entry::Rejected(bad) => format!("{} {}", bad.n, bad.error.message),
            });
        };
        reader.push(manifest.as_bytes(), &mut each).unwrap();
        reader.finish(&mut each).unwrap();
        reported
    }

    #[test]
    fn each_row_is_an_item_or_says_why_it_is_none() {
        let manifest = r#"{"text":"a"}
{"id":"2","text":"b"}
{"id":2,"text":"c"}
{"id":"x","txt":"d"}
{"id":"y","inputs":{"text":"e"},"model":"gpt"}
{"id":"z","inputs":{"text":"f"},"tags":{"run_id":"x"}}
not JSON
{"id":"last","text":"g"}"#;
        let expected = [
            "1 1 true",
            "2 2 true",
            "3 id: is already used by line 2",
            "4 inputs.txt: is not an input of this workflow; it has: audience, text; inputs.text: is required",
        ];
        let reported = taken(manifest);
        assert_eq!(reported[..4], expected);
        assert!(reported[4].starts_with("5 model: "), "{}", reported[4]);
        assert_eq!(reported[5], "6 tags.run_id: is set by BCCE itself");
        assert!(reported[6].starts_with("7 line: is not JSON"), "{}", reported[6]);
        assert_eq!(reported[7], "8 last true");
    }

    #[test]
    fn an_item_of_300_kb_is_one_and_one_that_no_message_could_carry_is_none() {
        let line = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
        // The nesting is as deep as a line allows. The `inputs` of the message add one level.
        let deep = format!(r#"{{"text":{}{}}}"#, "[".repeat(126), "]".repeat(126));
        let lines = [line(300_000), line(MAX_REQUEST_BYTES - 11), deep];
        let reported = taken(&lines.join("\n"));
        assert_eq!(reported[0], "1 1 true");
        assert!(reported[1].starts_with("2 request: is "), "{}", reported[1]);
        assert!(reported[2].starts_with("3 inputs.text: is nested too deeply"), "{}", reported[2]);
    }

    #[test]
    fn folders_are_no_items_and_empty_or_huge_objects_are_bad_ones() {
        let spec = serde_json::json!({ "source": "s3://bucket/docs/", "map": { "text": "{{ item.text }}" } });
        let request = BatchRequest {
            workflow: "explain".into(),
            batch: serde_json::from_value(spec).unwrap(),
            ..BatchRequest::default()
        };
        let batch = StoredBatch::new(request, "default", "m");
        let configuration = Configuration {
            template: read(WORKFLOW),
            template_sha256: "t".into(),
            models: read(MODELS),
            routing: Routing::default(),
            policy: Policy::default(),
            policy_sha256: "p".into(),
            profiles: Profiles::default(),
            budgets: Budgets::default(),
            prices: read(PRICES),
        };
        let mut intake = Intake::new(&batch, &configuration);
        let mut of = |key: &str, bytes| {
            let object = Object { key: key.into(), etag: "e".into(), bytes };
            intake.object(object).map(|taken| taken.entry)
        };
        assert_eq!(of("docs/", 0), None);
        let Some(Entry::Item(item)) = of("docs/a.md", 5) else { panic!("it is an item") };
        assert_eq!((item.n, item.id.as_str()), (1, "a.md"));
        for (bytes, cause) in [(0, "object: is empty"), (2_000_000, "object: is 2000000 bytes")] {
            let Some(Entry::Rejected(bad)) = of("docs/b.md", bytes) else { panic!("it is none") };
            assert!(bad.error.message.starts_with(cause), "{}", bad.error.message);
        }
    }

    fn configuration(policy: &str) -> Configuration {
        Configuration {
            template: read(WORKFLOW),
            template_sha256: "t".into(),
            models: read(MODELS),
            routing: Routing::default(),
            policy: read(policy),
            policy_sha256: "p".into(),
            profiles: Profiles::default(),
            budgets: Budgets::default(),
            prices: read(PRICES),
        }
    }

    /// Returns a configuration with these budgets.
    fn limited(budgets: &str) -> Configuration {
        let budgets = read(&format!("version: 1\nbudgets: {{ {budgets} }}\n"));
        Configuration { budgets, ..configuration("version: 1\n") }
    }

    fn batch(change: impl Fn(&mut BatchRequest)) -> StoredBatch {
        let map = [("text".to_owned(), "{{ item.text }}".into())];
        let batch = BatchSpec { source: "s3://bucket/docs/".into(), ..BatchSpec::default() };
        let batch = BatchSpec { map: Some(map.into()), ..batch };
        let mut request =
            BatchRequest { workflow: "explain".into(), batch, ..BatchRequest::default() };
        change(&mut request);
        StoredBatch::new(request, "default", "m")
    }

    #[test]
    fn what_a_sender_may_not_decide_refuses_the_batch_as_a_whole() {
        let policy = "version: 1\ntenants: { default: { workflows: [explain], models: [haiku], tags: { team: [a] } } }\n";
        let configuration = configuration(policy);
        let reported = |model: Option<&str>, team: &str| {
            let batch = batch(|request| {
                request.model = model.map(str::to_owned);
                request.tags.insert("team".into(), team.into());
            });
            let refused = Intake::new(&batch, &configuration).check_sender();
            refused.map_or_else(|fault| fault.to_string(), |()| String::new())
        };
        assert_eq!(reported(None, "a") + &reported(Some("haiku"), "a"), "");
        let refused = reported(Some("opus"), "a");
        assert!(
            refused.starts_with("Bcce.PolicyViolation: model: tenant default may not use opus"),
            "{refused}"
        );
        let refused = reported(None, "b");
        assert!(
            refused.starts_with("Bcce.PolicyViolation: tags.team: must be one of a"),
            "{refused}"
        );
        assert!(
            reported(Some("gpt"), "a")
                .starts_with("Bcce.InvalidRequest: model: there is no model gpt")
        );
    }

    #[test]
    fn a_batch_costs_the_sum_of_its_items_and_an_object_counts_by_its_size() {
        let configuration = limited(
            "a-run: { scope: run, usd: \"0.04\" }, a-batch: { scope: batch, usd: \"0.05\" }",
        );
        let on_demand = batch(|_| ());
        let mut intake = Intake::new(&on_demand, &configuration);
        let object = |bytes| Object { key: format!("docs/{bytes}"), etag: "e".into(), bytes };
        intake.object(object(10_000)).unwrap();
        let one = intake.worst_case().usd;
        // Haiku 4.5 costs 1.10 dollars per million input tokens, and its answer of 400 tokens 0.22 cents.
        let least = rust_decimal::Decimal::new(132, 4);
        let most = rust_decimal::Decimal::new(20, 3);
        assert!(least < one && one < most, "{one}");
        intake.object(object(9_999)).unwrap();
        assert_eq!(intake.worst_case().usd, one + one, "sizes are rounded up");
        assert_eq!(intake.check_limits(), Ok(()));
        (0..3).for_each(|_| drop(intake.object(object(9_998))));
        let refused = intake.check_limits().unwrap_err().to_string();
        assert!(
            refused.starts_with(
                "Bcce.BudgetExceeded: budgets.a-batch: the batch's 5 items may make 5 calls"
            ),
            "{refused}"
        );
        let mut intake = Intake::new(&on_demand, &configuration);
        intake.object(object(100_000)).unwrap();
        let most = rust_decimal::Decimal::new(4, 2);
        assert_eq!(intake.worst_case().usd, most, "no run may cost more than its limit");
        let in_bulk = batch(|request| request.batch.mode = Mode::Auto);
        let mut intake = Intake::new(&in_bulk, &configuration);
        intake.object(object(10_000)).unwrap();
        assert!(intake.worst_case().usd > one, "a record may be paid without a usable answer");
    }

    /// Returns the reason why a batch of 100 objects is refused, for this workflow, these budgets and this mapping of
    /// their text.
    fn refused_objects(workflow: &str, budgets: &str, map: (&str, &str)) -> String {
        let configuration = Configuration { template: read(workflow), ..limited(budgets) };
        let map = [(map.0.to_owned(), map.1.into())];
        let batch = batch(|request| request.batch.map = Some(map.clone().into()));
        let mut intake = Intake::new(&batch, &configuration);
        for n in 0..100 {
            intake.object(Object { key: format!("docs/{n}"), etag: "e".into(), bytes: 2_000 });
        }
        intake.check_limits().map_or_else(|fault| fault.to_string(), |()| "passed".into())
    }

    const LIMITS: &str = "a-run: { scope: run, usd: 5 }, a-batch: { scope: batch, usd: 10 }";
    const NO_RUN: &str = "a-batch: { scope: batch, usd: 10 }";

    #[test]
    fn objects_whose_sample_is_refused_count_what_each_run_may_cost() {
        let workflow = WORKFLOW.replace(
            "text: { type: string, required: true }",
            "text: { type: string, required: true }\n  number: { type: number, default: 1 }",
        );
        let workflow = workflow.replace(
            "text: { type: string, required: true }",
            "text: { type: string, default: a }",
        );
        let number = ("number", "{{ item.text | int }}");
        let refused = refused_objects(&workflow, LIMITS, number);
        assert!(refused.contains("cost up to $500.00; the limit is $10.00"), "{refused}");
        let refused = refused_objects(&workflow, NO_RUN, number);
        assert!(
            refused.contains(
                "100 objects is not known before they are read; add a budget `{ scope: run, usd: … }`"
            ),
            "{refused}"
        );
    }

    /// A limit of a batch in tokens needs one of a run in tokens, and one in USD needs one in USD.
    #[test]
    fn objects_of_unknown_size_count_in_the_unit_of_each_limit() {
        let workflow = WORKFLOW.replace(
            "text: { type: string, required: true }",
            "text: { type: string, required: true, schema: { type: string, pattern: \"^d\" } }",
        );
        let refused =
            |budgets: &str| refused_objects(&workflow, budgets, ("text", "{{ item.text }}"));
        let batch = "b: { scope: batch, tokens: 1000 }";
        let run = "r: { scope: run, tokens: 500 }";
        let few = refused(&format!("{run}, {batch}"));
        let expected = "budgets.b: the batch's 100 items may make 40,000 calls and use up to 50,000 tokens; the limit is 1,000 tokens";
        assert!(few.contains(expected), "{few}");
        let other_unit = refused(&format!("r: {{ scope: run, usd: 5 }}, {batch}"));
        assert!(other_unit.contains("budgets.b: the worst case of 100 objects"), "{other_unit}");
        assert!(other_unit.contains("`{ scope: run, tokens: … }`"), "{other_unit}");
        let both = refused(&format!("{run}, {batch}, d: {{ scope: batch, usd: 9 }}"));
        assert!(both.contains("budgets.d: the worst case of 100 objects"), "{both}");
    }

    /// An earlier version has stored the limit of a run in the policy of a batch's configuration.
    #[test]
    fn the_limit_that_a_stored_policy_has_still_applies() {
        let mut configuration = configuration("version: 1\n");
        let policy = serde_json::json!({ "version": 1, "ceilings": { "run_usd": "0.01", "batch_usd": "1" } });
        configuration.policy = serde_json::from_value(policy).unwrap();
        let batch = batch(|_| ());
        let intake = Intake::new(&batch, &configuration);
        let row = |bytes: usize| {
            let item = serde_json::json!({ "n": 1, "line": 1, "id": "i", "inputs": { "text": "x".repeat(bytes) } });
            intake.plan(&serde_json::from_value(item).unwrap())
        };
        assert!(row(10).is_ok());
        let refused = row(100_000).unwrap_err().to_string();
        assert!(
            refused.starts_with("Bcce.BudgetExceeded: ceilings.run_usd: the run may"),
            "{refused}"
        );
        assert!(refused.contains("the limit is $0.01."), "{refused}");
    }

    #[test]
    fn objects_whose_sample_breaks_a_schema_count_what_each_run_may_cost() {
        let workflow = WORKFLOW.replace(
            "text: { type: string, required: true }",
            "text: { type: string, required: true, schema: { type: string, pattern: \"^d\" } }",
        );
        let refused = refused_objects(&workflow, LIMITS, ("text", "{{ item.text }}"));
        assert!(refused.contains("cost up to $500.00; the limit is $10.00"), "{refused}");
    }

    #[test]
    fn objects_that_decide_how_many_calls_there_are_count_what_each_run_may_cost() {
        let workflow = "version: 1\nname: explain\ninputs: { files: { type: list, required: true } }\nsteps:\n  - { id: a, for_each: inputs.files, model: haiku, max_tokens: 400, prompt: \"{{ item }}\" }\n";
        let lines = ("files", "{{ item.text | lines }}");
        let refused = refused_objects(workflow, LIMITS, lines);
        assert!(refused.contains("cost up to $500.00; the limit is $10.00"), "{refused}");
        let refused = refused_objects(workflow, NO_RUN, lines);
        assert!(refused.contains("add a budget `{ scope: run, usd: … }`"), "{refused}");
    }

    #[test]
    fn an_item_with_a_model_of_its_own_stands_for_the_others_only_where_each_has_one() {
        let item = |n: u64, model: Option<&str>| {
            let item =
                serde_json::json!({ "n": n, "line": n, "id": "i", "inputs": {}, "model": model });
            Entry::Item(serde_json::from_value(item).unwrap())
        };
        let typical = |models: &[Option<&str>]| {
            let mut typical = Typical::default();
            for (n, model) in (1..).zip(models) {
                typical.note(&item(n, *model), || Some(n));
            }
            typical.get().copied()
        };
        assert_eq!(typical(&[Some("opus"), None, None, Some("opus")]), Some(2));
        assert_eq!(typical(&[None, None]), Some(1));
        assert_eq!(typical(&[Some("opus"), Some("haiku")]), Some(1));
        assert_eq!(typical(&[]), None);
    }
}
