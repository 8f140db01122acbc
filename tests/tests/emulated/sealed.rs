//! The signed manifest and the encrypted artifacts of a run.

use bcce_core::base::digest::sha256_hex;
use bcce_core::run::manifest::Kind;
use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey;
use serde_json::Value;

/// The manifest, its signature and the public key are enough to check a run offline. The signature does not fit changed
/// bytes or a batch, and the manifest lists each object of the run but itself and its signature.
#[tokio::test]
async fn a_manifest_is_signed_and_lists_every_artifact_with_its_digest() {
    let stack = Stack::connect().await;
    let id = fresh("sealed");
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, "").await;

    let bytes = stack.object(&run.manifest_key()).await.unwrap();
    let signature =
        Signature::from_der(&stack.object(&run.signature_key()).await.unwrap()).unwrap();
    let key = stack
        .kms
        .get_public_key()
        .key_id(output("SigningKeyArn"))
        .send()
        .await
        .unwrap()
        .public_key
        .unwrap();
    let key = VerifyingKey::from_public_key_der(key.as_ref()).unwrap();
    let signed = Kind::Run.message(&bytes);
    key.verify(&signed, &signature)
        .expect("the signature must be over the line of the kind and the exact bytes");
    let mut changed = signed.clone();
    changed[30] ^= 1;
    for other in [bytes, changed, Kind::Batch.message(&signed[Kind::Run.line().len()..])] {
        assert!(key.verify(&other, &signature).is_err());
    }

    let mut listed: Vec<&str> = Vec::new();
    for artifact in manifest["artifacts"].as_array().unwrap() {
        let body = stack.object(artifact["key"].as_str().unwrap()).await.unwrap();
        assert_eq!(artifact["sha256"], sha256_hex(&body));
        assert_eq!(artifact["bytes"], body.len());
        listed.push(artifact["key"].as_str().unwrap());
    }
    let unlisted: Vec<String> =
        stack.keys(&run).await.into_iter().filter(|key| !listed.contains(&key.as_str())).collect();
    assert_eq!(unlisted, [run.manifest_key(), run.signature_key()]);
}

/// Each object of a run is encrypted with the KMS key of the stack.
#[tokio::test]
async fn artifacts_are_encrypted_under_the_stacks_key() {
    let stack = Stack::connect().await;
    let id = fresh("encrypted");
    stack.explain(&id, "").await;
    for key in stack.keys(&RunRef::first("default", "explain", &id)).await {
        let head =
            stack.s3.head_object().bucket(output("ArtifactBucket")).key(&key).send().await.unwrap();
        assert_eq!(head.ssekms_key_id(), Some(output("ArtifactKeyArn").as_str()), "{key}");
    }
}

/// A run that fails is sealed too, and its manifest lists the record of the failed step with both attempts. The
/// execution fails with the same error.
#[tokio::test]
async fn a_failed_run_is_sealed_with_its_attempts() {
    let stack = Stack::connect().await;
    let id = fresh("failed");
    let run = RunRef::first("default", "explain", &id);
    let manifest = stack.explain(&id, "@model *: denied").await;
    assert_eq!(manifest["status"], "FAILED");
    assert_eq!(manifest["error"]["name"], "Bcce.NoTarget");
    assert_eq!(manifest["steps"][0]["attempts"], 2);
    let keys: Vec<&Value> =
        manifest["artifacts"].as_array().unwrap().iter().map(|a| &a["key"]).collect();
    assert!(keys.contains(&&Value::from(run.failure_key("answer", None))), "{keys:?}");
    let name = run.execution_name();
    let arn =
        format!("{}:{name}", output("WorkflowArn").replacen(":stateMachine:", ":execution:", 1));
    let execution = stack.sfn.describe_execution().execution_arn(arn).send().await.unwrap();
    assert_eq!(execution.status().as_str(), "FAILED");
    assert_eq!(execution.error(), Some("Bcce.NoTarget"));
}
