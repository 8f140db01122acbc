//! Attacks by a role that was taken over: it may not write what other roles are trusted for, and no forged manifest is
//! signed.

use bcce_core::base::digest::sha256_hex;
use bcce_core::base::json::to_json;
use bcce_core::batch::BatchRef;
use bcce_core::run::ids::RunRef;
use bcce_core::run::request::{Request, StoredRequest};
use bcce_tests::harness::stack::{Stack, fresh, output};
use serde_json::{Value, json};

use crate::roles::Role;
use crate::signed::{Call, Caller};
use crate::walk::{invoke, started, through};

/// A role with permission to write objects is refused every kind of object that belongs to another role. Some steps of
/// the run are named like other kinds, so that a pattern that is too wide shows.
#[tokio::test]
async fn no_role_writes_objects_that_belong_to_another_role() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    let root = Caller::root();
    let run = RunRef::first("default", "explain", &fresh("forged"));
    let batch = BatchRef::first("default", "explain", &fresh("forged"));
    let answers = ["plan", "request", "manifest-1"].map(|step| run.step_key(step, None));
    let seals =
        [run.manifest_key(), run.signature_key(), batch.manifest_key(), batch.signature_key()];
    let parts = [batch.part_key(1), batch.places_key(1), batch.opened_key()];
    let results = [batch.part_results_key(1), batch.results_key(), batch.outputs_key()];
    let part_seals =
        [batch.part_runs_key(1), batch.part_manifest_key(1), batch.part_signature_key(1)];
    let packed = [batch.configuration_key(), batch.segment_key(1, 1)];
    let all = answers.iter().chain(&seals).chain(&parts).chain(&results);
    let all: Vec<&String> = all.chain(&part_seals).chain(&packed).collect();
    for (name, own) in [
        ("DispatchRole", vec![]),
        // It unpacks the answers of a packed run that is retried.
        ("PrepareRole", answers.to_vec()),
        ("InvokeRole", answers.to_vec()),
        ("PersistArtifactRole", seals[..2].to_vec()),
        ("EmitMetricsRole", vec![]),
        ("OpenBatchRole", [&parts[..], &packed[..1]].concat()),
        ("OpenItemRole", vec![]),
        ("RunPartRole", packed[1..].to_vec()),
        ("RenderPartRole", packed[1..].to_vec()),
        ("BulkJobRole", vec![]),
        ("TakePartRole", packed[1..].to_vec()),
        ("ChooseLeftoversRole", vec![]),
        ("CollectPartRole", [&results[..1], &part_seals, &packed[1..]].concat()),
        ("CloseBatchRole", [&seals[2..], &results[1..]].concat()),
        ("BatchRole", vec![]),
    ] {
        let role = Role::find(&root, name).await;
        let caller = role.assume(&root).await;
        for key in &all {
            let put = Call::put("s3", format!("/{}/{key}", output("ArtifactBucket")), "{}".into());
            let answer = caller.call(put.with("if-none-match", "*")).await;
            // If another role was allowed to write the object, it exists already, and the write fails for another
            // reason.
            let is_refused = answer.is_refused();
            assert_eq!(
                is_refused,
                !own.contains(key),
                "{name} {key}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
}

/// Puts `body` at the key of a run's manifest, calls the functions of the run, and checks that nothing is signed and
/// the run is not counted.
async fn is_not_signed(
    root: &Caller,
    stack: &Stack,
    run: &RunRef,
    body: Vec<u8>,
    signature: Option<Vec<u8>>,
) {
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(run.manifest_key());
    let put = signature.iter().fold(put, |put, signature| {
        put.metadata("bcce-signature", aws_smithy_types::base64::encode(signature))
    });
    put.if_none_match("*").body(body.clone().into()).send().await.unwrap();
    let reference = started(serde_json::to_value(run).unwrap(), &stack.arn(run));
    let broke = through(root, reference.clone()).await.unwrap_err();
    assert_eq!(broke.function, "persist-artifact");
    for part in ["Bcce.Internal", &run.manifest_key(), "docs/finalizing.md"] {
        assert!(broke.because.contains(part), "{part} is not in {}", broke.because);
    }
    assert!(stack.object(&run.signature_key()).await.is_none(), "{} is signed", run.manifest_key());
    assert_eq!(stack.object(&run.manifest_key()).await, Some(body));
    // `emit-metrics` counts the manifest that its input names, and no input names this one.
    let record = stack.record(run).await;
    assert!(!record.contains_key("counted"), "the run must not be counted");
}

/// `persist-artifact` fails if another manifest is already at the key: garbage, the signed manifest of another run, or
/// a copy with a lower cost, with or without a genuine signature. It neither signs nor replaces it.
#[tokio::test]
async fn a_forged_manifest_of_a_run_is_not_signed() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    let (root, stack) = (Caller::root(), Stack::connect().await);
    crate::make_up_for_the_emulator(&root).await;
    // This run is not attacked. Its manifest and signature are genuine.
    let honest = stored(&stack).await;
    let reference = started(serde_json::to_value(&honest).unwrap(), &stack.arn(&honest));
    through(&root, reference).await.unwrap();
    let manifest = stack.object(&honest.manifest_key()).await.unwrap();
    let signature = stack.object(&honest.signature_key()).await.unwrap();

    let run = stored(&stack).await;
    is_not_signed(&root, &stack, &run, b"garbage".to_vec(), None).await;
    // The manifest of another run, with its signature.
    let run = stored(&stack).await;
    is_not_signed(&root, &stack, &run, manifest.clone(), Some(signature.clone())).await;
    // A forgery that is right for this run except for the cost.
    let run = stored(&stack).await;
    let mut forged: Value = serde_json::from_slice(&manifest).unwrap();
    forged["run_id"] = json!(run.run_id);
    forged["request_id"] = json!(run.request_id);
    forged["totals"]["cost_usd"] = json!("0");
    is_not_signed(&root, &stack, &run, forged.to_string().into_bytes(), None).await;
    let run = stored(&stack).await;
    forged["run_id"] = json!(run.run_id);
    is_not_signed(&root, &stack, &run, forged.to_string().into_bytes(), Some(signature)).await;
}

/// `close-batch` fails in the same way if another manifest is already at the key of a batch's manifest.
#[tokio::test]
async fn a_forged_manifest_of_a_batch_is_not_signed() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    let (root, stack) = (Caller::root(), Stack::connect().await);
    let close = async |batch: &BatchRef| {
        let arn = format!(
            "{}:{}",
            output("BatchArn").replacen(":stateMachine:", ":execution:", 1),
            batch.batch_id
        );
        let reference = started(serde_json::to_value(batch).unwrap(), &arn);
        let message = "batch.source: has no items; give a source with at least one";
        let fault = json!({ "name": "Bcce.InvalidRequest", "message": message });
        invoke(
            &root,
            "close-batch",
            &json!({ "batch": reference, "fault": fault, "notification_owner": arn }),
        )
        .await
    };
    let honest = BatchRef::first("default", "explain", &fresh("sealed-batch"));
    close(&honest).await.unwrap();
    let manifest = stack.object(&honest.manifest_key()).await.unwrap();
    let signature = stack.object(&honest.signature_key()).await.unwrap();
    assert_eq!(close(&honest).await.unwrap()["manifest"]["sha256"], sha256_hex(&manifest));
    for (body, signature) in
        [(b"garbage".to_vec(), None), (manifest.clone(), None), (manifest, Some(signature))]
    {
        let batch = BatchRef::first("default", "explain", &fresh("forged-batch"));
        let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(batch.manifest_key());
        let put = signature.iter().fold(put, |put, signature| {
            put.metadata("bcce-signature", aws_smithy_types::base64::encode(signature))
        });
        put.if_none_match("*").body(body.into()).send().await.unwrap();
        let broke = close(&batch).await.unwrap_err();
        assert!(broke.because.contains(&batch.manifest_key()), "{}", broke.because);
        assert!(stack.object(&batch.signature_key()).await.is_none());
    }
}

/// Stores the request of a new run, and returns the run.
async fn stored(stack: &Stack) -> RunRef {
    let request =
        json!({ "workflow": "explain", "id": fresh("forged"), "inputs": { "text": "A breaker." } });
    let request = StoredRequest::new(Request::parse(&request.to_string()).unwrap(), "default", "1");
    let run = request.run();
    let put = stack.s3.put_object().bucket(output("ArtifactBucket")).key(run.request_key());
    put.if_none_match("*").body(to_json(&request).unwrap().into()).send().await.unwrap();
    run
}
