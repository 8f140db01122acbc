use std::collections::BTreeMap;

use bcce_core::config::documents::Pointer;
use bcce_core::fakes::{MemoryParameters, MemoryStore, now};
use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::graph::Graph;
use crate::json::undocumented;
use crate::paint::render;

const EXPLAIN: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");
const BUG_HUNT: &str = include_str!("../../../infra/config/dev/workflows/bug-hunt.yaml");
const BUDGETS: &str = include_str!("../../../infra/config/dev/budgets.yaml");
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/config/dev");

/// Returns a workflow of the stack.
pub fn explain() -> Workflow {
    let pushed_at = Some(datetime!(2026-11-01 12:00 UTC));
    parsed("explain", "/bcce/dev/workflows/explain".into(), pushed_at, EXPLAIN)
}

/// Returns a workflow whose object is gone.
pub fn broken() -> Workflow {
    Workflow {
        name: "broken".into(),
        document: "/bcce/dev/workflows/broken".into(),
        sha256: None,
        pushed_at: None,
        template: Err("uri: there is no config/x".into()),
    }
}

fn directory() -> Place {
    let world = World { environment: "dev".into(), terminal: false, color: false };
    let source = Source { directory: Some(DIRECTORY.into()) };
    now(source.open(&world)).unwrap()
}

fn shown(workflow: &Workflow, width: usize) -> String {
    let template = workflow.template.as_ref().unwrap();
    let budgets = from_yaml::<Budgets>(BUDGETS).finished().unwrap();
    let lines = view::lines(workflow, template, &budgets, width);
    lines.iter().map(|line| render(line, false, usize::MAX) + "\n").collect()
}

#[test]
fn workflows_of_a_stack_are_read_with_their_digests_and_broken_ones_with_the_reason() {
    let key = "config/workflows/explain/x.yaml";
    let pointer = |key: &str| serde_json::to_string(&Pointer::to("b", key, EXPLAIN.as_bytes()));
    let parameters: BTreeMap<String, String> = [
        ("/bcce/dev/workflows/explain".to_owned(), pointer(key).unwrap()),
        ("/bcce/dev/workflows/lost".to_owned(), pointer("config/x").unwrap()),
        ("/bcce/dev/workflows/plain".to_owned(), "version: 2\n".to_owned()),
    ]
    .into();
    let (store, parameters) =
        (MemoryStore::with([(key.to_owned(), EXPLAIN.into())]), MemoryParameters(parameters));
    let reader = Reader { store: &store, parameters: &parameters, bucket: "b", environment: "dev" };
    let many = (0..20).map(|n| format!("gone-{n}"));
    let names: Vec<String> = many.chain(["explain", "lost", "plain"].map(str::to_owned)).collect();
    let read = now(read::deployed(&reader, &names)).unwrap();
    let names: Vec<&str> = read.iter().map(|workflow| workflow.name.as_str()).collect();
    assert_eq!(names, ["explain", "lost", "plain"]);
    assert_eq!(read[0].sha256, Some(sha256_hex(EXPLAIN.as_bytes())));
    assert_eq!(read[0].template.as_ref().unwrap().name, "explain");
    assert_eq!(read[1].template, Err("uri: there is no config/x".into()));
    assert!(read[2].template.as_ref().unwrap_err().contains("version: must be 1"));
}

#[test]
fn a_directory_is_read_without_aws() {
    let place = directory();
    let names: Vec<String> =
        now(place.all()).unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["bug-hunt", "code-review", "docs-gen", "explain"]);
    let (workflow, template) = now(place.one("explain")).unwrap();
    assert!(workflow.document.ends_with("infra/config/dev/workflows/explain.yaml"));
    assert_eq!((workflow.pushed_at, template.steps.len()), (None, 1));
    assert_eq!(now(place.budgets()).unwrap().budgets.len(), 2);
}

#[test]
fn an_unknown_workflow_is_named_with_those_that_there_are() {
    let failure = now(directory().one("explian")).unwrap_err();
    let expected = format!(
        "there is no workflow explian in {DIRECTORY}; there are: bug-hunt, code-review, docs-gen, explain; did you mean \
         explain?"
    );
    assert_eq!((failure.what, failure.exit), (expected, Exit::Usage));
    let none = Place::Directory("d".into(), Texts::new()).unknown("x", &[]);
    assert_eq!(none.what, "there is no workflow x in d; there are none");
}

#[test]
fn a_workflow_is_shown_with_its_inputs_steps_and_limits() {
    let hunt = parsed("bug-hunt", "dev/workflows/bug-hunt.yaml".into(), None, BUG_HUNT);
    let sha256 = sha256_hex(BUG_HUNT.as_bytes());
    let expected = include_str!("shown.txt").replace("SHA256", &sha256);
    assert_eq!(shown(&hunt, usize::MAX), expected);
    let narrow = shown(&hunt, 60);
    let long = narrow.lines().find(|line| line.chars().count() > 60 && line.contains(' '));
    assert!(long.is_none_or(|line| line.contains(&sha256)), "{long:?}");
}

#[test]
fn all_settings_of_a_step_are_shown() {
    let yaml = "version: 1\nname: w\nrequest_models: [opus]\nrouting: { strategy: latency }\ninputs:\n  n: { type: integer, default: 3, schema: { minimum: 1, maximum: 9 } }\n  o: { type: object }\nsteps:\n- { id: a, model: m, system: s, prompt: p, temperature: 0.5, thinking: off, cache: 1h, response_cache: 7d, output: { type: json }, routing: { attempts: 2, timeouts: { stall_s: 9 } } }\n- { id: b, model: m, needs: [a], prompt: \"{{ steps.a.x }} {{ inputs.n }}\" }\n";
    let text = shown(&parsed("w", "w.yaml".into(), None, yaml), usize::MAX);
    for part in [
        "m; a request may name opus\n",
        "routing    strategy latency\n",
        "  n  integer, default 3, maximum 9, minimum 1\n",
        "  o  object, optional\n",
        "  1  a  m, JSON of up to 2,048 tokens\n",
        "prompt 1 bytes, system 1 bytes\n",
        "thinking off, temperature 0.5, prompt cache 1h, response cache 7d\n",
        "routing: attempts 2, stall_s 9\n",
        "  2  b  m, text of up to 2,048 tokens  the answer\n     after a\n",
        "reads inputs.n, steps.a\n",
    ] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn the_fields_of_a_workflow_and_of_its_graph_are_documented() {
    let hunt = parsed("bug-hunt", "x".into(), None, BUG_HUNT);
    let template = hunt.template.as_ref().unwrap();
    let budgets = from_yaml::<Budgets>(BUDGETS).finished().unwrap();
    let value = json::shown(&hunt, template, &budgets);
    assert_eq!(undocumented(&value, &[&json::SHOWN]), [""; 0]);
    let limit = json!({ "scope": "run", "budget": "one-run", "unit": "usd", "limit": "5.00" });
    assert_eq!(value["limits"][0], limit);
    let step = &value["steps"][1];
    assert_eq!(
        (&step["wave"], &step["reads"]),
        (&json!(2), &json!(["inputs.files", "steps.hunt"]))
    );
    assert!(step.get("prompt").is_none() && step["prompt_bytes"].as_u64() > Some(50), "{step}");
    let drawn = json::drawn(&Graph::of_workflow(template));
    assert_eq!(undocumented(&drawn, &[&json::DRAWN]), [""; 0]);
    assert_eq!(drawn["edges"], json!([{ "from": "hunt", "to": "summary" }]));
}
