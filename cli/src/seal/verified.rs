//! Prints the result of verifying a run or a batch.

use std::io::Write;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Report;
use super::key::Known;
use crate::exit::{Exit, Outcome};
use crate::figures;
use crate::json::Field;
use crate::paint::{Ink, Line, render, span};
use crate::world::World;

/// The fields of JSON besides the id.
pub const FIELDS: [Field; 12] = [
    ("attempt_no", "number of the attempt that was verified"),
    ("manifest", "key of the manifest, for a packed run that of the list with its manifest"),
    ("manifest_sha256", "digest of the manifest"),
    ("status", "status that the manifest states, or null if it is invalid"),
    ("key", "the public key: sha256, account, arn and file"),
    ("signed", "true if the signature is that of the key"),
    (
        "part_manifest",
        "for a packed run, key of the manifest whose signature covers it; otherwise null",
    ),
    ("artifacts", "number of artifacts with the listed digest and size"),
    ("erased", "keys of the artifacts whose text was erased"),
    ("parts", "number of verified parts of a packed batch"),
    ("verified", "true if there are no faults"),
    ("faults", "list of texts, one for each fault"),
];

/// The result of verifying a run or a batch.
pub struct Verified<M> {
    /// The noun for it: `run` or `batch`.
    pub noun: &'static str,
    pub id: String,
    pub attempt_no: u32,
    pub manifest_key: String,
    pub key: Known,
    pub report: Report<M>,
    /// The content of the manifest, if the object is a valid manifest.
    pub sealed: Option<Sealed>,
}

/// The status and the size of a run or a batch, from its manifest.
#[derive(Clone, Copy)]
pub struct Sealed {
    /// The number of artifacts that the manifest lists.
    pub artifacts: usize,
    /// The number of parts of a packed batch, each of which has a manifest. 0 for anything else.
    pub parts: u32,
    pub status: &'static str,
    pub ended_at: OffsetDateTime,
}

impl<M> Verified<M> {
    /// Prints the result. Returns [`Exit::Failed`] if there are faults.
    pub fn print(&self, json: bool, world: &World, out: &mut dyn Write) -> Outcome {
        if json {
            crate::json::print(&self.as_json(), out)?;
        } else {
            for line in self.lines() {
                writeln!(out, "{}", render(&line, world.color, usize::MAX))?;
            }
        }
        Ok(if self.report.faults.is_empty() { Exit::Done } else { Exit::Failed })
    }

    fn as_json(&self) -> Value {
        json!({
            (format!("{}_id", self.noun)): self.id,
            "attempt_no": self.attempt_no,
            "manifest": self.manifest_key,
            "manifest_sha256": self.report.manifest_sha256,
            "status": self.sealed.map(|sealed| sealed.status),
            "key": self.key.as_json(),
            "signed": self.report.signed,
            "part_manifest": self.report.proof.as_ref().map(|proof| &proof.part_manifest),
            "artifacts": self.report.artifacts_right,
            "erased": self.report.erased,
            "parts": self.report.parts_right,
            "verified": self.report.faults.is_empty(),
            "faults": self.report.faults,
        })
    }

    /// Returns a line for each check, and a last one with the result.
    pub fn lines(&self) -> Vec<Line> {
        let report = &self.report;
        let line = |right: bool, text: String| {
            let (ink, mark) = if right { (Ink::Green, "✓ ") } else { (Ink::Red, "✗ ") };
            vec![span(ink, mark), span(Ink::Plain, text)]
        };
        let heading = match report.manifest_sha256.as_str() {
            "" => self.manifest_key.clone(),
            sha256 => format!("{}  sha256 {sha256}", self.manifest_key),
        };
        let mut lines =
            vec![vec![span(Ink::Plain, heading)], vec![span(Ink::Plain, self.key.describe())]];
        if report.signed {
            lines.push(line(true, "signed with ECDSA P-256 by this key".into()));
        }
        if let Some(proof) = &report.proof {
            let (runs, part) = (figures::plural(proof.runs, "run"), &proof.part_manifest);
            lines.push(line(true, format!("proven by the root over the {runs} of {part}")));
        }
        if let Some(sealed) = self.sealed {
            let (right, all, erased) =
                (report.artifacts_right, sealed.artifacts, report.erased.len());
            let text = format!(
                "{right} of {} with the listed digest and size",
                figures::plural(all, "artifact")
            );
            lines.push(line(right + erased == all, text));
            let erased = report.erased.iter().map(|key| {
                vec![
                    span(Ink::Yellow, "· "),
                    span(Ink::Plain, format!("{key}: its text was erased")),
                ]
            });
            lines.extend(erased);
            if sealed.parts > 0 {
                let (right, all) = (report.parts_right, sealed.parts);
                let all_parts = figures::plural(all as usize, "part");
                let text = format!("{right} of {all_parts} with a signed manifest and its digests");
                lines.push(line(right == all, text));
            }
        }
        lines.extend(report.faults.iter().map(|fault| line(false, fault.clone())));
        lines.push(match (report.faults.len(), self.sealed) {
            (0, Some(sealed)) => line(
                true,
                format!(
                    "verified: {} on {}, nothing changed, nothing added{}",
                    sealed.status,
                    figures::stamp(sealed.ended_at),
                    match report.erased.len() {
                        0 => String::new(),
                        n => format!(", {} erased", figures::plural(n, "text")),
                    }
                ),
            ),
            (n, _) => line(false, format!("NOT verified: {}", figures::plural(n, "fault"))),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::samples::STARTED;
    use crate::seal::Proof;
    use crate::seal::tests::signer;
    use bcce_core::run::manifest::Manifest;

    fn printed(report: Report, sealed: Sealed, json: bool) -> (Exit, String) {
        let key = *signer().verifying_key();
        let key = Known { key, fingerprint: "f".into(), arn: None, file: None };
        let verified = Verified {
            noun: "run",
            id: "r".into(),
            attempt_no: 1,
            manifest_key: "k/000002.runs.jsonl".into(),
            key,
            report,
            sealed: Some(sealed),
        };
        let world = World { environment: "dev".into(), terminal: false, color: false };
        let mut out = Vec::new();
        let exit = verified.print(json, &world, &mut out).unwrap();
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn erased_texts_are_named_and_are_no_failure() {
        let report = || Report::<Manifest> {
            manifest_sha256: "s".into(),
            signed: true,
            proof: Some(Proof { part_manifest: "k/000002.part.json".into(), runs: 3 }),
            artifacts_right: 1,
            erased: vec!["runs/t/r/plan.json".into(), "runs/t/r/request.json".into()],
            ..Report::without_manifest(vec![])
        };
        let sealed = Sealed { artifacts: 3, parts: 0, status: "SUCCEEDED", ended_at: STARTED };
        let (exit, text) = printed(report(), sealed, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(exit, Exit::Done);
        #[rustfmt::skip]
        assert_eq!(lines[2..], [
            "✓ signed with ECDSA P-256 by this key",
            "✓ proven by the root over the 3 runs of k/000002.part.json",
            "✓ 1 of 3 artifacts with the listed digest and size",
            "· runs/t/r/plan.json: its text was erased",
            "· runs/t/r/request.json: its text was erased",
            "✓ verified: SUCCEEDED on 2026-11-01 12:00:00Z, nothing changed, nothing added, 2 texts erased",
        ]);
        let json: Value = serde_json::from_str(&printed(report(), sealed, true).1).unwrap();
        assert_eq!(crate::json::undocumented(&json, &[&FIELDS]), ["run_id"]);
        assert_eq!((&json["verified"], &json["erased"]), (&json!(true), &json!(report().erased)));
        assert_eq!(json["part_manifest"], "k/000002.part.json");
        let faulty = Report { faults: vec!["k: is missing".into()], ..report() };
        assert_eq!(printed(faulty, sealed, false).0, Exit::Failed);
    }

    #[test]
    fn the_parts_of_a_packed_batch_are_counted() {
        let report = Report {
            parts_right: 1,
            ..Report::<Manifest>::without_manifest(vec!["k: is missing".into()])
        };
        let sealed = Sealed { artifacts: 0, parts: 2, status: "PARTIAL", ended_at: STARTED };
        let (exit, text) = printed(report, sealed, false);
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("✗ 1 of 2 parts with a signed manifest and its digests"), "{text}");
    }
}
