//! Checks that each run has one execution, one manifest with its signature, and one closed record.

use std::collections::BTreeSet;

use bcce_core::base::digest::sha256_hex;
use bcce_core::ledger::{attempt_sk, run_pk};
use bcce_core::run::manifest::Kind;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier;
use serde_json::Value;

use super::holds;
use crate::found::{Found, Item};
use crate::requests::{Outcome, Sent};

/// Checks the execution, the manifest and the record of a run.
pub fn is_whole(sent: &Sent, found: &Found) -> Result<(), String> {
    let error = ended(sent, found)?;
    let key = sent.run.manifest_key();
    let manifest = found.document(&key).ok_or("no manifest")?;
    let statuses: &[&str] = match sent.outcome {
        Outcome::Succeeds => &["SUCCEEDED"],
        Outcome::Stopped => &["CANCELLED", "SUCCEEDED"],
        _ => &["FAILED"],
    };
    let status = manifest["status"].as_str().unwrap_or_default();
    holds(statuses.contains(&status), || {
        format!("the manifest says {status}: {}", manifest["error"])
    })?;
    if let Outcome::Fails(name) = sent.outcome {
        holds(manifest["error"]["name"] == name, || format!("failed by {}", manifest["error"]))?;
        holds(error.as_deref() == Some(name), || format!("the execution failed by {error:?}"))?;
    }
    is_sealed(sent, &manifest, found)?;
    is_recorded(sent, &manifest, found)
}

/// Checks that the one execution has the expected status, and returns its error.
fn ended(sent: &Sent, found: &Found) -> Result<Option<String>, String> {
    let name = sent.run.execution_name();
    let (status, error) = found.executions.get(&name).ok_or("no execution")?.clone();
    let expected: &[&str] = match sent.outcome {
        Outcome::Succeeds => &["SUCCEEDED"],
        Outcome::Stopped => &["ABORTED"],
        _ => &["FAILED"],
    };
    holds(expected.contains(&status.as_str()), || format!("the execution {status}, {error:?}"))?;
    Ok(error)
}

/// Checks that the manifest is signed and lists every object of the run with its digest.
fn is_sealed(sent: &Sent, manifest: &Value, found: &Found) -> Result<(), String> {
    let (run, bytes) = (&sent.run, &found.objects[&sent.run.manifest_key()]);
    let signature = found.objects.get(&run.signature_key()).ok_or("no signature")?;
    let signature = Signature::from_der(signature).map_err(|error| error.to_string())?;
    let signed = Kind::Run.message(bytes);
    found.key.verify(&signed, &signature).map_err(|_| "a signature over other bytes".to_owned())?;
    let artifacts = manifest["artifacts"].as_array().ok_or("no artifacts")?;
    let mut listed = BTreeSet::from([run.manifest_key(), run.signature_key()]);
    for artifact in artifacts {
        let key = artifact["key"].as_str().unwrap_or_default();
        let body = found.objects.get(key).ok_or_else(|| format!("{key} is listed and missing"))?;
        holds(artifact["sha256"] == sha256_hex(body), || format!("{key} has another digest"))?;
        listed.insert(key.to_owned());
    }
    let prefix = run.prefix();
    let lies: BTreeSet<String> =
        found.objects.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
    holds(lies == listed, || {
        format!("not listed: {:?}", lies.difference(&listed).collect::<Vec<_>>())
    })
}

/// Checks that the ledger has one record of the run, which is counted and names the manifest.
fn is_recorded(sent: &Sent, manifest: &Value, found: &Found) -> Result<(), String> {
    let records = records(found).filter(|item| text(item, "pk") == run_pk(&sent.run.run_id));
    let records: Vec<&Item> = records.collect();
    let [record] = records[..] else { return Err(format!("{} records", records.len())) };
    holds(text(record, "sk") == attempt_sk(1), || format!("recorded as {}", text(record, "sk")))?;
    let (status, counted) = (text(record, "status"), record.contains_key("counted"));
    holds(manifest["status"] == status && counted, || format!("recorded {status}, {counted}"))?;
    let sha256 = sha256_hex(&found.objects[&sent.run.manifest_key()]);
    holds(text(record, "manifest_sha256") == sha256, || "another manifest is recorded".to_owned())
}

/// Checks that there is no other execution, object or record, and that every finalization succeeded.
pub fn nothing_else(runs: &[&Sent], found: &Found) -> Result<(), String> {
    let ids: BTreeSet<String> = runs.iter().map(|sent| sent.run.run_id.clone()).collect();
    let executions = found.executions.keys().filter(|name| !ids.contains(*name)).cloned();
    let objects = found.objects.keys().filter(|key| {
        key.strip_prefix("runs/default/")
            .and_then(|rest| rest.split('/').next())
            .is_none_or(|id| !ids.contains(id))
    });
    let records = records(found).map(|item| text(item, "pk").to_owned());
    let records = records.filter(|pk| !ids.contains(pk.trim_start_matches("run#")));
    let finalizations = found.finalizations.iter().filter(|status| *status != "SUCCEEDED").cloned();
    let strange: Vec<String> =
        executions.chain(objects.cloned()).chain(records).chain(finalizations).collect();
    holds(strange.is_empty(), || format!("there is more: {strange:?}"))
}

fn records(found: &Found) -> impl Iterator<Item = &Item> {
    found.ledger.iter().filter(|item| text(item, "sk").starts_with("attempt#"))
}

pub fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str)
}
