//! Reads what is known about targets: the documents and the ledger of a stack, and Bedrock's control plane.

use std::collections::BTreeMap;

use bcce_aws::control::ControlPlane;
use bcce_aws::health::HealthTable;
use bcce_aws::quotas::ServiceQuotas;
use bcce_core::base::target::Target;
use bcce_core::config::models::Models;
use bcce_core::config::pricing::Tier;
use bcce_core::failover::latency::slots;
use bcce_core::io::reader::{Reader, TargetDocuments};
use bcce_core::io::standby::{ReadFacts, read_facts};
use bcce_core::ledger::usage::DayOfUsage;
use bcce_core::ports::{ReadBreakers, ReadLastCalls, ReadLatencies};
use bcce_core::standby::canary::WORKFLOW;
use bcce_core::standby::checks::{WatchedTarget, watched};
use time::{Date, OffsetDateTime, UtcOffset};

use super::{Known, Report};
use crate::exit::{Failure, Outcome};
use crate::metrics::period::Period;
use crate::metrics::usage_of;
use crate::stack::Stack;
use crate::world::World;

/// The number of targets whose items are read in one request, which takes up to 100 keys. A target has two slots of
/// latencies.
const IN_ONE_READ: usize = 50;

/// Reads the targets of the aliases `only`, or of all if there are none. With `is_live`, asks Bedrock about them with the permissions of the caller.
///
/// # Errors
/// No alias has the name, a document is missing or invalid, or SSM, S3 or the ledger cannot be reached. What Bedrock does not answer is no error.
pub async fn report(
    stack: &Stack,
    only: &[String],
    is_live: bool,
    world: &World,
) -> Outcome<Report> {
    let Stack { store, parameters, outputs, environment, ledger, .. } = stack;
    let (now, bucket) = (world.now().to_offset(UtcOffset::UTC), outputs.artifact_bucket.as_str());
    let mut documents = Reader { store, parameters, bucket, environment }.targets().await?;
    select(&mut documents.models, only).map_err(|unknown| {
        let what = format!("{environment} has no model alias `{unknown}`");
        Failure::usage(what, format!("`{}` lists the aliases", stack.command("models")))
    })?;
    let targets = watched(&documents.models);
    let since = now.date().previous_day().unwrap_or(Date::MIN);
    let days = usage_of(ledger, Period { from: since, to: now.date() }).await?;
    let mut known: Vec<Known> =
        targets.iter().map(|watched| of_documents(watched, &documents, &days, now)).collect();
    read_ledger(&mut known, stack, world, now).await?;
    let unread = match is_live {
        true => ask_bedrock(&mut known, &targets, &documents, stack, world, now).await?,
        false => Vec::new(),
    };
    Ok(Report {
        environment: environment.clone(),
        now,
        since,
        is_live,
        aliases: aliases(&documents.models, &targets),
        targets: known,
        unread,
    })
}

/// Removes all aliases but `only`, unless that is empty.
///
/// # Errors
/// The name that no alias has.
fn select(models: &mut Models, only: &[String]) -> Result<(), String> {
    let unknown = only.iter().find(|alias| !models.models.contains_key(*alias));
    models.models.retain(|alias, _| only.is_empty() || only.contains(alias));
    unknown.cloned().map_or(Ok(()), Err)
}

/// Returns the places of the targets of each alias.
fn aliases(models: &Models, targets: &[WatchedTarget]) -> Vec<(String, Vec<usize>)> {
    let place = |target: &Target| targets.iter().position(|watched| watched.target == *target);
    let of = |(alias, model): (&String, &bcce_core::config::models::Model)| {
        (alias.clone(), model.targets().filter_map(place).collect())
    };
    models.models.iter().map(of).collect()
}

fn of_documents(
    watched: &WatchedTarget,
    documents: &TargetDocuments,
    days: &[DayOfUsage],
    now: OffsetDateTime,
) -> Known {
    let (target, profiles) = (&watched.target, &documents.profiles);
    let rows = documents.prices.of(profiles.resolve(&target.region, &target.model_id));
    Known {
        watched: watched.clone(),
        forbidden: documents.policy.forbids(target, profiles),
        price: rows.and_then(|rows| rows.on(now.date()).map(|row| row.price)),
        breaker: Default::default(),
        latency: Default::default(),
        calls: calls(target, days),
        last_call: None,
        facts: None,
        findings: Vec::new(),
    }
}

/// Returns the number of calls that runs made on demand. Calls of the canary and records of bulk jobs are no traffic.
fn calls(target: &Target, days: &[DayOfUsage]) -> u64 {
    let counted = days.iter().flat_map(|day| &day.calls).filter(|counted| {
        let line = &counted.usage.line;
        let is_of_target = line.region == target.region && line.model_id == target.model_id;
        let is_batch = counted.usage.tier == Tier::Batch.name();
        is_of_target && !is_batch && counted.allocation.workflow != WORKFLOW
    });
    counted.map(|counted| counted.usage.line.calls).sum()
}

/// Adds breakers, latencies and canary calls.
async fn read_ledger(
    known: &mut [Known],
    stack: &Stack,
    world: &World,
    now: OffsetDateTime,
) -> Outcome<()> {
    let health = HealthTable::new(&world.sdk_config().await?, &stack.outputs.ledger_table);
    for some in known.chunks_mut(IN_ONE_READ) {
        let keys: Vec<String> = some.iter().map(|known| known.watched.key()).collect();
        let breakers = health.read(&keys).await?;
        let latencies = health.latencies(&keys, &slots(now)).await?;
        let calls = stack.ledger.last_calls(&keys).await?;
        let read = breakers.into_iter().zip(latencies).zip(calls);
        for (known, ((stored, latency), last_call)) in some.iter_mut().zip(read) {
            (known.breaker, known.latency) = (stored.breaker, latency);
            known.findings.extend(last_call.as_ref().and_then(|call| call.finding(&known.watched)));
            known.last_call = last_call;
        }
    }
    Ok(())
}

/// Adds what Bedrock says, and what the checks find in it. Returns the questions that were not answered.
async fn ask_bedrock(
    known: &mut [Known],
    targets: &[WatchedTarget],
    documents: &TargetDocuments,
    stack: &Stack,
    world: &World,
    now: OffsetDateTime,
) -> Outcome<Vec<String>> {
    let endpoint = stack.outputs.bedrock_endpoint_url.clone().filter(|url| !url.is_empty());
    let config = world.sdk_config().await?;
    let control = ControlPlane::new(&config, endpoint.clone());
    let quotas = ServiceQuotas::new(&config, endpoint);
    let ReadFacts { facts, unread } = read_facts(&control, &quotas, targets, documents).await;
    let max_tokens = BTreeMap::new();
    let rules = documents.rules(&max_tokens, now);
    for (known, facts) in known.iter_mut().zip(facts) {
        known.findings.extend(rules.check(&known.watched, &facts));
        known.facts = Some(facts);
    }
    Ok(unread.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use bcce_core::document::from_yaml;

    use super::*;

    const MODELS: &str = "version: 1\nmodels:\n  a: { takes: { max_output_tokens: 9 }, targets: [{ region: us-east-1, model_id: us.anthropic.c }, { region: us-west-2, model_id: us.anthropic.c }] }\n  b: { takes: { max_output_tokens: 9 }, targets: [{ region: us-west-2, model_id: us.anthropic.c }] }\n";

    #[test]
    fn only_the_named_aliases_are_shown_and_an_unknown_one_is_an_error() {
        let selected = |only: &[&str]| {
            let mut models: Models = from_yaml(MODELS).finished().unwrap();
            let only: Vec<String> = only.iter().map(|alias| alias.to_string()).collect();
            let done = select(&mut models, &only);
            done.map(|()| models.models.into_keys().collect::<String>())
        };
        assert_eq!(selected(&[]), Ok("ab".into()));
        assert_eq!(selected(&["b"]), Ok("b".into()));
        assert_eq!(selected(&["b", "c"]), Err("c".into()));
    }

    #[test]
    fn each_alias_has_its_targets_in_the_order_of_the_document() {
        let models: Models = from_yaml(MODELS).finished().unwrap();
        let found = aliases(&models, &watched(&models));
        assert_eq!(found, [("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![1])]);
    }
}
