//! The bytes of a call: the most that its templates render to, computed from the sizes of what they name.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::base::limits::ByteCount;
use crate::base::usage::Usage;
use crate::call::parameters::json_output;
use crate::config::cache::CacheTtl;
use crate::config::template::Step;
use crate::document::prompt::bound::{Kind, Size, most_bytes};
use crate::run::ids::StepRef;
use crate::run::plan::Plan;
use crate::run::plan::worst::CallBytes;

/// The bytes that a call adds to the rendered templates: the data rule, the request for JSON, and the problems of an
/// answer that is repaired.
const AROUND: u64 = 1_024;
/// The bytes that a cached prefix adds to the rendered templates: the data rule of its own tags.
const AROUND_PREFIX: u64 = 256;
/// The bytes around each answer of a list.
const AROUND_ITEM: u64 = 8;

/// The bytes that a call sends.
pub(super) struct Call {
    prompt: u64,
    /// The bytes of the longest cached prefix.
    cached: u64,
    cache: Option<CacheTtl>,
}

impl Call {
    /// Returns the bytes of a call whose prompt is rendered.
    pub fn of_bytes(bytes: CallBytes, cache: Option<CacheTtl>) -> Self {
        Self { prompt: bytes.prompt + AROUND, cached: bytes.cached, cache }
    }

    /// Returns the usage of the first call and of its repair. The repair repeats the prompt and adds the answer to it.
    /// `output` and `context` are the target's longest answer and its context, in tokens.
    pub fn usages(&self, output: u64, context: u64) -> [Usage; 2] {
        [0, output].map(|repeated| {
            let cached = self.cached.min(context);
            let rest = (self.prompt + repeated).min(context - cached);
            let mut usage = Usage { input_tokens: rest, output_tokens: output, ..Usage::default() };
            match self.cache {
                None => usage.input_tokens += cached,
                Some(CacheTtl::FiveMinutes) => usage.cache_write_5m_tokens = cached,
                Some(CacheTtl::Hour) => usage.cache_write_1h_tokens = cached,
            }
            usage
        })
    }
}

/// The sizes of the inputs and answers that templates name. Each input is measured once for all step executions.
pub(super) struct Sizes<'a> {
    plan: &'a Plan,
    answers: BTreeMap<&'a str, Size>,
    inputs: RefCell<BTreeMap<String, Size>>,
}

impl<'a> Sizes<'a> {
    pub fn of(plan: &'a Plan) -> Self {
        let mut answers: BTreeMap<&str, Size> = BTreeMap::new();
        for StepRef { step, route, item } in plan.waves.iter().flat_map(|wave| &wave.steps) {
            let (Some(step), Some(route)) = (plan.step(step), plan.routes.get(route)) else {
                continue;
            };
            let kind = if json_output(step).is_some() { Kind::Json } else { Kind::Text };
            let bytes = plan.longest_answer(step, route);
            let all = answers.entry(&step.id).or_default();
            *all = match item {
                None => Size::of(bytes, kind),
                Some(_) => {
                    let bytes = all.bytes.saturating_add(bytes).saturating_add(AROUND_ITEM);
                    Size { bytes, items: all.items + 1, kind }
                }
            };
        }
        Self { plan, answers, inputs: RefCell::default() }
    }

    /// Returns the bytes of a call of `step`.
    pub fn call(&self, step: &Step, item: Option<u32>) -> Call {
        let item = item.and_then(|n| self.plan.items(step)?.get(n as usize));
        let sizes = |path: &[&str]| match path {
            ["steps", id, ..] => self.answers.get(id).copied().unwrap_or_default(),
            ["steps"] => {
                let bytes = self.answers.values().map(|size| 2 * size.bytes + AROUND).sum();
                Size::of(bytes, Kind::Json)
            }
            ["inputs", rest @ ..] => self.input(rest),
            ["item", rest @ ..] => measure(item.and_then(|item| part(item, rest))),
            _ => Size::of(AROUND_ITEM, Kind::Data),
        };
        let schema = json_output(step).and_then(|output| output.schema.as_ref());
        let schema = schema.map_or(0, |schema| measure(Some(schema)).bytes);
        let bytes = |template: &str| most_bytes(template, &sizes);
        let whole = bytes(&step.prompt) + step.system.as_deref().map_or(0, bytes) + schema;
        let prefixes = step.cached_prefixes();
        let has_marks = prefixes.last().is_some_and(|prefix| {
            !prefix.prompt.is_empty() || Some(prefix.system) != step.system.as_deref()
        });
        let around = if has_marks { AROUND_PREFIX * prefixes.len() as u64 } else { 0 };
        // The data rules and the schema may be a part of the longest prefix.
        let cached = prefixes
            .last()
            .map_or(0, |prefix| bytes(prefix.system) + bytes(prefix.prompt) + schema + around);
        let prompt = (whole + around).saturating_sub(cached) + AROUND;
        Call { prompt, cached, cache: step.cache.map(|cache| cache.ttl) }
    }

    fn input(&self, path: &[&str]) -> Size {
        let key = path.join(".");
        if let Some(known) = self.inputs.borrow().get(&key) {
            return *known;
        }
        let inputs = &self.plan.inputs;
        let size = match path {
            [] => counted(inputs, inputs.len()),
            [name, rest @ ..] => measure(inputs.get(*name).and_then(|value| part(value, rest))),
        };
        self.inputs.borrow_mut().insert(key, size);
        size
    }
}

fn part<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(*name))
}

/// Returns the bytes of a value as indented JSON, the longest form that a template can render.
fn measure(value: Option<&Value>) -> Size {
    let Some(value) = value else { return Size::of(AROUND_ITEM, Kind::Data) };
    let items = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        Value::String(text) => text.len(),
        _ => 0,
    };
    counted(value, items)
}

fn counted(value: &impl Serialize, items: usize) -> Size {
    let mut count = ByteCount(0);
    // Counting never fails.
    let _ = serde_json::to_writer_pretty(&mut count, value);
    Size { bytes: count.0, items: items as u64, kind: Kind::Data }
}
