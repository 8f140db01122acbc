//! The dimensions that usage is grouped by, and the filters.

use std::collections::BTreeMap;

use bcce_core::config::residency::base_model;
use bcce_core::ledger::usage::{Allocation, CountedCalls, CountedRuns};
use serde_json::{Value, json};

use crate::stack::quoted;

/// The name of a group whose runs do not have the tag.
pub const NONE: &str = "(none)";
/// The name of the workflow of runs that were refused before they had a plan.
pub const REFUSED: &str = "(refused)";

/// A property of calls. Some of them are properties of runs too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    Workflow,
    Tenant,
    Step,
    /// The model without the prefix of a profile.
    Model,
    Region,
    /// The region and the id that is called.
    Target,
    /// The service tier that served the calls.
    Tier,
    Day,
    /// The name of an error. Calls and runs with different errors are one group, whose errors are counted.
    Error,
    /// A cost tag, by name.
    Tag(String),
}

/// Parses a dimension.
pub fn parse(given: &str) -> Result<Dimension, String> {
    Ok(match given {
        "workflow" => Dimension::Workflow,
        "tenant" => Dimension::Tenant,
        "step" => Dimension::Step,
        "model" => Dimension::Model,
        "region" => Dimension::Region,
        "target" => Dimension::Target,
        "tier" => Dimension::Tier,
        "day" => Dimension::Day,
        _ => match given.strip_prefix("tag:") {
            Some(tag) if !tag.is_empty() => Dimension::Tag(tag.to_owned()),
            _ => {
                return Err("must be workflow, model, region, target, tenant, day, step, tier or \
                            tag:<name>"
                    .to_owned());
            }
        },
    })
}

impl Dimension {
    /// Returns the name, as it is written on the command line.
    pub fn name(&self) -> String {
        match self {
            Self::Workflow => "workflow".into(),
            Self::Tenant => "tenant".into(),
            Self::Step => "step".into(),
            Self::Model => "model".into(),
            Self::Region => "region".into(),
            Self::Target => "target".into(),
            Self::Tier => "tier".into(),
            Self::Day => "day".into(),
            Self::Error => "error".into(),
            Self::Tag(tag) => format!("tag:{tag}"),
        }
    }

    /// Returns the value of calls. It is empty for errors.
    pub fn of_calls(&self, calls: &CountedCalls) -> String {
        let usage = &calls.usage;
        match self {
            Self::Step => usage.step.clone(),
            Self::Model => base_model(usage.line.resolved_id()).to_owned(),
            Self::Region => usage.line.region.clone(),
            Self::Target => format!("{} {}", usage.line.region, usage.line.model_id),
            Self::Tier => usage.tier.clone(),
            Self::Day => usage.day.to_string(),
            Self::Error => String::new(),
            Self::Workflow | Self::Tenant | Self::Tag(_) => {
                self.of_allocation(&calls.allocation).to_owned()
            }
        }
    }

    /// Returns true if runs have the property too.
    pub fn is_of_runs(&self) -> bool {
        matches!(self, Self::Workflow | Self::Tenant | Self::Day | Self::Error | Self::Tag(_))
    }

    /// Returns the value of runs. The value of a property that only calls have is empty.
    pub fn of_runs(&self, runs: &CountedRuns) -> String {
        match self {
            Self::Day => runs.day.to_string(),
            _ => self.of_allocation(&runs.allocation).to_owned(),
        }
    }

    fn of_allocation<'a>(&self, allocation: &'a Allocation) -> &'a str {
        match self {
            Self::Workflow if allocation.workflow.is_empty() => REFUSED,
            Self::Workflow => &allocation.workflow,
            Self::Tenant => &allocation.tenant,
            Self::Tag(tag) => allocation.cost_tags.get(tag).map_or(NONE, String::as_str),
            _ => "",
        }
    }
}

/// The options that select usage.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filters {
    /// Include only this workflow; may be given several times, like the other filters
    #[arg(long, value_name = "NAME")]
    workflow: Vec<String>,
    /// Include only this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Vec<String>,
    /// Include only calls of this step
    #[arg(long, value_name = "ID")]
    step: Vec<String>,
    /// Include only calls of this model, by its id with or without the prefix of a profile
    #[arg(long, value_name = "ID")]
    model: Vec<String>,
    /// Include only calls in this region
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Include only runs with this value of a cost tag
    #[arg(long, value_name = "NAME=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,
}

fn tag(given: &str) -> Result<(String, String), String> {
    match given.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE, such as team=search".to_owned()),
    }
}

impl Filters {
    /// Returns the filters for these workflows and steps. An empty list selects all.
    pub fn of_steps(workflow: Vec<String>, step: Vec<String>) -> Self {
        Self { workflow, step, ..Self::default() }
    }

    /// Returns the cost tags that are named.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.tag.iter().map(|(name, _)| name.as_str())
    }

    /// Returns true if only calls have the properties that are filtered by.
    pub fn select_calls(&self) -> bool {
        [&self.step, &self.model, &self.region].iter().any(|values| !values.is_empty())
    }

    pub fn want_calls(&self, calls: &CountedCalls) -> bool {
        let line = &calls.usage.line;
        let is_model =
            |wanted: &String| *wanted == line.model_id || wanted == base_model(line.resolved_id());
        self.want(&calls.allocation)
            && has(&self.step, &calls.usage.step)
            && has(&self.region, &line.region)
            && (self.model.is_empty() || self.model.iter().any(is_model))
    }

    /// Returns true if runs are wanted. If the filters select calls, the runs are unknown and none is wanted.
    pub fn want_runs(&self, runs: &CountedRuns) -> bool {
        !self.select_calls() && self.want(&runs.allocation)
    }

    fn want(&self, allocation: &Allocation) -> bool {
        let is_tagged = |(name, value): &(String, String)| {
            Dimension::Tag(name.clone()).of_allocation(allocation) == value
        };
        let names = self.tags();
        // Several values of one tag are alternatives, several tags are not.
        let mut each_name =
            names.map(|name| self.tag.iter().filter(|(other, _)| other == name).any(is_tagged));
        has(&self.workflow, Dimension::Workflow.of_allocation(allocation))
            && has(&self.tenant, &allocation.tenant)
            && each_name.all(|is_wanted| is_wanted)
    }

    /// Returns the values of each dimension other than tags that is filtered by.
    fn lists(&self) -> Vec<(&'static str, &Vec<String>)> {
        let lists = [
            ("workflow", &self.workflow),
            ("tenant", &self.tenant),
            ("step", &self.step),
            ("model", &self.model),
            ("region", &self.region),
        ];
        lists.into_iter().filter(|(_, values)| !values.is_empty()).collect()
    }

    /// Returns the values of each tag that is filtered by.
    fn by_tag(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        self.tag.iter().for_each(|(name, value)| tags.entry(name).or_default().push(value));
        tags
    }

    /// Returns the filters as JSON: the values by dimension.
    pub fn json(&self) -> Value {
        let tags =
            self.by_tag().into_iter().map(|(name, values)| (format!("tag:{name}"), json!(values)));
        let lists = self.lists().into_iter().map(|(name, values)| (name.to_owned(), json!(values)));
        lists.chain(tags).collect::<serde_json::Map<_, _>>().into()
    }

    /// Returns the options that select the same, quoted for a shell: ` --workflow explain --tag team='(none)'`.
    pub fn options(&self) -> String {
        let lists = self.lists().into_iter();
        let lists = lists.flat_map(|(name, values)| values.iter().map(move |v| (name, quoted(v))));
        let tag = |(name, value): &(String, String)| {
            ("tag", format!("{}={}", quoted(name), quoted(value)))
        };
        let tags = self.tag.iter().map(tag);
        lists.chain(tags).map(|(name, value)| format!(" --{name} {value}")).collect()
    }

    /// Describes the filters: ` of workflow explain and tenant default`. Returns an empty text without filters.
    pub fn describe(&self) -> String {
        let mut parts: Vec<String> = self
            .lists()
            .into_iter()
            .map(|(name, values)| format!("{name} {}", values.join(" or ")))
            .collect();
        let tags = self.by_tag().into_iter();
        parts.extend(tags.map(|(name, values)| format!("tag {name}={}", values.join(" or "))));
        if parts.is_empty() { String::new() } else { format!(" of {}", parts.join(" and ")) }
    }
}

fn has(wanted: &[String], value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == value)
}

#[cfg(test)]
mod tests;
