use std::cell::{Cell, RefCell};

use bcce_core::base::json::add_line;
use bcce_core::batch::BatchRef;
use bcce_core::batch::packed::{PLAN, PackedPlace, PackedRun, REQUEST};
use bcce_core::config::documents::Pointer;
use bcce_core::fakes::{MemoryParameters, MemoryStore, StoppedClock};
use serde_json::{Value, json};
use time::macros::datetime;

use super::*;

const EVENT: &str = include_str!("../../../events/prepare/first.json");
const EXPLAIN: &str = include_str!("../../../infra/config/dev/workflows/explain.yaml");

#[derive(Default)]
struct Records {
    opened: RefCell<Vec<OpenedRun>>,
    over: Cell<bool>,
    places: RefCell<Vec<PackedPlace>>,
}

impl FindPlaces for Records {
    async fn places(&self, run_id: &str) -> Result<Vec<PackedPlace>, Fault> {
        let places = self.places.borrow();
        Ok(places.iter().filter(|place| place.run_id == run_id).cloned().collect())
    }
}

impl OpenRun for Records {
    async fn open(&self, opened: &OpenedRun) -> Result<RecordState, Fault> {
        self.opened.borrow_mut().push(opened.clone());
        Ok(if self.over.get() { RecordState::Over } else { RecordState::Open })
    }
}

type Fakes = Ports<MemoryStore, MemoryParameters, Records, StoppedClock>;

fn config() -> Config {
    Config {
        environment: "dev".into(),
        bucket: "b".into(),
        key_arn: String::new(),
        ledger_table: String::new(),
        retries: Retries::default(),
    }
}

fn run() -> Run {
    serde_json::from_str::<Request>(EVENT).unwrap().run
}

fn ports(inputs: Value) -> Fakes {
    let run = run();
    let request = json!({ "version": 1, "tenant": "default", "request_id": "42", "workflow": "explain",
                          "inputs": inputs, "tags": {}, "model": null });
    let pointer =
        serde_json::to_string(&Pointer::to("b", "config/explain.yaml", EXPLAIN.as_bytes()))
            .unwrap();
    let parameters = [
        ("models", include_str!("../../../infra/config/dev/models.yaml")),
        ("routing", include_str!("../../../infra/config/dev/routing.yaml")),
        ("policy", include_str!("../../../infra/config/dev/policy.yaml")),
        ("prices", include_str!("../../../infra/config/dev/prices.yaml")),
        ("workflows/explain", &pointer),
    ];
    Ports {
        store: MemoryStore::with([
            (run.request_key(), to_json(&request).unwrap()),
            ("config/explain.yaml".into(), EXPLAIN.as_bytes().to_vec()),
        ]),
        parameters: MemoryParameters(
            parameters.map(|(name, value)| (format!("/bcce/dev/{name}"), value.to_owned())).into(),
        ),
        ledger: Records::default(),
        clock: StoppedClock(datetime!(2026-11-01 12:00 UTC)),
        documents: Documents::default(),
    }
}

async fn ask(ports: &Fakes) -> Value {
    let request = serde_json::from_str(EVENT).unwrap();
    let response = handle(ports, &config(), request).await.unwrap();
    serde_json::to_value(response).unwrap()
}

#[tokio::test]
async fn a_request_becomes_a_stored_plan_and_an_open_record() {
    let ports = ports(json!({ "text": "a breaker" }));
    let trace_id = TraceId::parse("1-6a4f0c20-0759e988bd862e3fe1be46a9");
    let request = Request { trace_id, ..serde_json::from_str(EVENT).unwrap() };
    let response = handle(&ports, &config(), request).await.unwrap();
    let response = serde_json::to_value(response).unwrap();
    assert_eq!(response["outcome"], "planned");
    assert_eq!(response["waves"], json!([{ "steps": [{ "step": "answer", "route": "haiku" }] }]));
    assert_eq!(response["deadline"], "2026-11-01T13:00:00Z");
    assert_eq!(response["routes"]["haiku"]["targets"][1]["region"], "us-west-2");
    let plan = ports.store.json(&run().plan_key());
    assert_eq!(plan["inputs"], json!({ "audience": "newcomer", "text": "a breaker" }));
    let opened = ports.ledger.opened.borrow();
    let opened: Vec<_> = opened.iter().map(|opened| (&opened.run, opened.trace_id)).collect();
    assert!(trace_id.is_some());
    assert_eq!(opened, [(&run(), trace_id)]);
}

#[tokio::test]
async fn a_run_that_is_over_is_not_planned_again() {
    let ports = ports(json!({ "text": "a breaker" }));
    ports.ledger.over.set(true);
    assert_eq!(ask(&ports).await["outcome"], "refused");
    assert!(!ports.store.objects.borrow().contains_key(&run().plan_key()));
}

#[tokio::test]
async fn a_stored_plan_is_used_whatever_the_configuration_says_now() {
    let mut ports = ports(json!({ "text": "a breaker" }));
    let first = ask(&ports).await;
    ports.parameters.0.clear();
    ports.documents = Documents::default();
    assert_eq!(ask(&ports).await["plan_sha256"], first["plan_sha256"]);
}

#[tokio::test]
async fn what_a_person_can_fix_is_refused_with_the_cause() {
    type Break = fn(&mut Fakes);
    #[rustfmt::skip]
    let table: &[(Value, Break, &str)] = &[
        (json!({}), |_| {}, "inputs.text: is required"),
        (json!({ "text": "t" }), |p| { p.parameters.0.remove("/bcce/dev/workflows/explain"); }, "there is no workflow explain"),
        (json!({ "text": "t" }), |p| { p.parameters.0.remove("/bcce/dev/prices"); }, "/bcce/dev/prices: document: the SSM parameter is missing"),
        (json!({ "text": "t" }), |p| { p.parameters.0.insert("/bcce/dev/models".into(), "models: 7".into()); }, "/bcce/dev/models: "),
        (json!({ "text": "t" }), |p| { p.store.objects.borrow_mut().insert("config/explain.yaml".into(), b"x".to_vec()); }, "not the one in the pointer"),
        (json!({ "text": "t" }), |p| { p.store.objects.borrow_mut().remove("config/explain.yaml"); }, "uri: there is no config/explain.yaml"),
    ];
    for (inputs, break_it, expected) in table {
        let mut ports = ports(inputs.clone());
        break_it(&mut ports);
        let response = ask(&ports).await;
        assert_eq!(response["outcome"], "refused", "{expected}");
        let message = response["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{expected} is missing in {message}");
        assert!(!ports.store.objects.borrow().contains_key(&run().plan_key()));
    }
}

#[tokio::test]
async fn a_store_that_fails_is_an_internal_fault_and_is_retried() {
    let ports = ports(json!({ "text": "t" }));
    ports.store.failing.set(1);
    let request = serde_json::from_str(EVENT).unwrap();
    let fault = handle(&ports, &config(), request).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
}

/// Packs the run into a batch: moves its objects from the store into a segment of run attempt `attempt_no`.
fn pack(ports: &Fakes, attempt_no: u32, objects: &[(&str, Value)]) {
    let batch = BatchRef { attempt_no, ..BatchRef::first("default", "explain", "b") };
    let mut attempt = run();
    attempt.reference.attempt_no = attempt_no;
    let place = PackedPlace {
        run_id: attempt.run_id.clone(),
        attempt_no,
        batch: batch.clone(),
        part: 3,
        n: 7,
    };
    let mut packed = PackedRun::new(7, attempt);
    objects.iter().for_each(|(name, body)| packed.add(name, body).unwrap());
    let mut lines = Vec::new();
    add_line(&mut lines, &packed).unwrap();
    ports.store.objects.borrow_mut().insert(batch.segment_key(3, 1), lines);
    ports.ledger.places.borrow_mut().push(place);
}

async fn ask_again(ports: &Fakes, attempt_no: u32) -> Value {
    let mut request: Request = serde_json::from_str(EVENT).unwrap();
    request.run.reference.attempt_no = attempt_no;
    serde_json::to_value(handle(ports, &config(), request).await.unwrap()).unwrap()
}

/// Returns the objects of a run that was planned, by the names in a segment, and takes them from the store.
async fn planned(ports: &Fakes) -> [(&'static str, Value); 2] {
    assert_eq!(ask(ports).await["outcome"], "planned");
    let [request, plan] = [run().request_key(), run().plan_key()].map(|key| {
        let object = ports.store.json(&key);
        ports.store.objects.borrow_mut().remove(&key);
        object
    });
    [(REQUEST, request), (PLAN, plan)]
}

#[tokio::test]
async fn a_retry_of_a_packed_run_has_its_request_its_plan_and_its_answers() {
    let mut ports = ports(json!({ "text": "a breaker" }));
    let [request, plan] = planned(&ports).await;
    let answer = ("steps/answer.answer.json", json!({ "a": 1 }));
    let failure = ("failures/1/answer.failure.json", json!({ "f": 1 }));
    pack(&ports, 1, &[request.clone(), plan.clone(), answer.clone(), failure]);
    // The plan is that of the first attempt, whatever the configuration says now.
    ports.parameters.0.clear();
    ports.documents = Documents::default();
    assert_eq!(ask_again(&ports, 2).await["outcome"], "planned");
    for (name, body) in [request, plan, answer] {
        assert_eq!(ports.store.json(&format!("{}{name}", run().prefix())), body);
    }
    let keys: Vec<String> = ports.store.objects.borrow().keys().cloned().collect();
    assert!(!keys.iter().any(|key| key.contains("/failures/")), "{keys:?}");
    // A later batch attempt may have given further answers.
    let later = ("steps/later.answer.json", json!({ "b": 2 }));
    let [request, plan] =
        [REQUEST, PLAN].map(|name| (name, ports.store.json(&format!("{}{name}", run().prefix()))));
    pack(&ports, 3, &[request.clone(), plan.clone(), later.clone()]);
    assert_eq!(ask_again(&ports, 4).await["outcome"], "planned");
    assert_eq!(ports.store.json(&format!("{}{}", run().prefix(), later.0)), later.1);
    // A run whose texts were erased since then still has its copy.
    pack(&ports, 3, &[]);
    ports.ledger.places.borrow_mut().remove(0);
    assert_eq!(ask_again(&ports, 5).await["outcome"], "planned");
}

#[tokio::test]
async fn a_packed_run_without_a_plan_is_planned_and_the_latest_attempt_with_one_counts() {
    let ports = ports(json!({ "text": "a breaker" }));
    let [request, (_, mut plan)] = planned(&ports).await;
    pack(&ports, 1, std::slice::from_ref(&request));
    assert_eq!(ask_again(&ports, 2).await["outcome"], "planned");
    assert_eq!(ports.store.json(&run().plan_key()), plan, "it is planned now");
    ports.store.objects.borrow_mut().remove(&run().plan_key());
    for (attempt_no, template) in [(2, "second"), (3, "third")] {
        plan["template_sha256"] = template.into();
        pack(&ports, attempt_no, &[request.clone(), (PLAN, plan.clone())]);
    }
    pack(&ports, 4, &[]);
    assert_eq!(ask_again(&ports, 5).await["outcome"], "planned");
    assert_eq!(ports.store.json(&run().plan_key())["template_sha256"], "third");
}

#[tokio::test]
async fn a_packed_run_whose_texts_were_erased_is_refused() {
    let ports = ports(json!({ "text": "a breaker" }));
    planned(&ports).await;
    pack(&ports, 1, &[]);
    let response = ask_again(&ports, 2).await;
    assert_eq!(response["outcome"], "refused");
    let message = response["error"]["message"].as_str().unwrap();
    assert!(message.contains("its request is not stored"), "{message}");
}

#[tokio::test]
async fn an_interrupted_copy_is_completed() {
    let ports = ports(json!({ "text": "a breaker" }));
    let [request, plan] = planned(&ports).await;
    pack(&ports, 1, &[request.clone(), plan.clone()]);
    // The calls of the store: the list of segments, the segment, the request, the plan.
    ports.store.failing.set(4);
    let mut failing: Request = serde_json::from_str(EVENT).unwrap();
    failing.run.reference.attempt_no = 2;
    let fault = handle(&ports, &config(), failing).await.unwrap_err();
    assert_eq!(fault.name, ErrorName::Internal);
    assert_eq!(ports.store.json(&run().request_key()), request.1);
    assert!(!ports.store.objects.borrow().contains_key(&run().plan_key()));
    assert_eq!(ask_again(&ports, 2).await["outcome"], "planned");
    assert_eq!(ports.store.json(&run().plan_key()), plan.1);
}
