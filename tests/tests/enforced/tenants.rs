//! The accounts of tenants, each with the role that docs/tenants.md shows: what they may do, and what is refused.

use aws_credential_types::Credentials;
use bcce_tests::harness::stack::{RunRef, Stack, fresh, output};
use serde_json::{Value, json};

use crate::signed::{Answer, Call, Caller};

/// The tenants of infra/local/companions.py and their accounts. Two are defined by their account, and the last one by
/// its organization.
const TENANTS: [(&str, &str); 3] =
    [("alpha", "111111111111"), ("beta", "222222222222"), ("gamma", "333333333333")];

/// Returns the other tenants.
fn others(tenant: &str) -> impl Iterator<Item = &'static str> {
    TENANTS.into_iter().map(|(other, _)| other).filter(move |other| *other != tenant)
}

/// Creates the role that docs/tenants.md shows in the tenant's account, and assumes it.
async fn sender(tenant: &str, account: &str) -> Caller {
    let root = Caller::new(Credentials::new(account, "test", None, None, "the account"));
    let name = fresh("sender");
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
    }] });
    let (trust, policy) = (trust.to_string(), shown_policy(tenant));
    for fields in [
        [("Action", "CreateRole"), ("AssumeRolePolicyDocument", &trust), ("Path", "/")],
        [("Action", "PutRolePolicy"), ("PolicyName", "sender"), ("PolicyDocument", &policy)],
    ] {
        let fields = [&fields[..], &[("Version", "2010-05-08"), ("RoleName", &name)]].concat();
        let answer = root.call(Call::form("iam", &fields)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assume(&root, &format!("arn:aws:iam::{account}:role/{name}"))
        .await
        .expect("the sender must be able to assume its own role")
}

/// Returns the policy of docs/tenants.md for a tenant of this stack. It also allows all calls to other tenants'
/// resources, since an account can write any policy for itself. So the tests show what the resources themselves refuse.
fn shown_policy(tenant: &str) -> String {
    let docs = include_str!("../../../docs/tenants.md");
    let (_, rest) = docs.split_once("```json\n").expect("docs/tenants.md shows a policy");
    let shown = rest.split_once("```").unwrap().0;
    let mut policy: Value = serde_json::from_str(&of_this_stack(shown, tenant)).unwrap();
    let greedy = json!({ "Sid": "Greedy", "Effect": "Allow", "Resource": "*",
                         "Action": ["sqs:*", "s3:*", "sts:AssumeRole"] });
    policy["Statement"].as_array_mut().unwrap().push(greedy);
    policy.to_string()
}

fn of_this_stack(text: &str, tenant: &str) -> String {
    text.replace("123456789012", "000000000000").replace("payments", tenant)
}

async fn assume(caller: &Caller, role: &str) -> Result<Caller, Answer> {
    let assume = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", "test"),
    ];
    let answer = caller.call(Call::form("sts", &assume)).await;
    if answer.status != 200 {
        return Err(answer);
    }
    let of = |tag: &str| answer.between(&format!("<{tag}>"), "<")[0].to_owned();
    let (key, secret) = (of("AccessKeyId"), of("SecretAccessKey"));
    Ok(Caller::new(Credentials::new(key, secret, Some(of("SessionToken")), None, "a role")))
}

fn reader_of(tenant: &str) -> String {
    format!("arn:aws:iam::000000000000:role/{}-{tenant}-reader", output("BCCE_STACK"))
}

fn queue(kind: &str, tenant: &str) -> String {
    output("InboxQueueUrl").replace("-inbox", &format!("-{kind}-{tenant}"))
}

fn send(queue: &str, body: &str) -> Call {
    let message = json!({ "QueueUrl": queue, "MessageBody": body });
    Call::json("sqs", "AmazonSQS.SendMessage", &message)
}

fn receive(queue: &str) -> Call {
    let receive = json!({ "QueueUrl": queue, "VisibilityTimeout": 0, "MaxNumberOfMessages": 10 });
    Call::json("sqs", "AmazonSQS.ReceiveMessage", &receive)
}

fn explain(id: &str) -> String {
    json!({ "workflow": "explain", "id": id, "inputs": { "text": "A breaker." } }).to_string()
}

fn get(key: &str) -> Call {
    Call::get("s3", format!("/{}/{key}", output("ArtifactBucket")))
}

/// An account sends to the inbox of its tenant and reads the notifications of its tenant. It is refused the inboxes and
/// notifications of others, and the dead letters.
#[tokio::test]
async fn an_account_sends_and_is_notified_as_its_tenant_and_as_no_other() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    for (tenant, account) in TENANTS {
        let sender = sender(tenant, account).await;
        let id = fresh("enforced");
        let sent = sender.call(send(&queue("inbox", tenant), &explain(&id))).await;
        assert_eq!(sent.status, 200, "{}", sent.body);
        let manifest = stack.manifest(&RunRef::first(tenant, "explain", &id)).await;
        assert_eq!(manifest["tenant"], tenant);
        stack
            .eventually("the notification", async || {
                let received = sender.call(receive(&queue("notifications", tenant))).await;
                assert_eq!(received.status, 200, "{}", received.body);
                received.body.contains(&id).then_some(())
            })
            .await;

        let mut refused = vec![
            send(&output("InboxQueueUrl"), "{}"),
            send(&output("DeadLetterQueueUrl"), "{}"),
            send(&queue("notifications", tenant), "{}"),
            receive(&queue("inbox", tenant)),
            receive(&output("DeadLetterQueueUrl")),
        ];
        for other in others(tenant) {
            refused.push(send(&queue("inbox", other), "{}"));
            refused.push(receive(&queue("inbox", other)));
            refused.push(receive(&queue("notifications", other)));
        }
        for call in refused {
            let call_text = call.describe();
            let answer = sender.call(call).await;
            assert!(
                answer.is_refused(),
                "{tenant}: {call_text}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
}

/// The reader role of a tenant reads the runs of its tenant and the public key. It reads no other run, no ledger and no
/// configuration, and cannot write. Another tenant cannot assume it.
#[tokio::test]
async fn a_reader_reads_the_runs_of_its_tenant_and_nothing_else() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    crate::make_up_for_the_emulator(&Caller::root()).await;
    let stack = Stack::connect().await;
    let id = fresh("read");
    let runs: Vec<RunRef> =
        ["alpha", "beta", "gamma", "default"].map(|t| RunRef::first(t, "explain", &id)).into();
    for (tenant, _) in TENANTS {
        stack.send_to(&queue("inbox", tenant), &explain(&id)).await;
    }
    stack.send(&explain(&id)).await;
    for run in &runs {
        stack.manifest(run).await;
    }
    for (tenant, account) in TENANTS {
        let sender = sender(tenant, account).await;
        for other in others(tenant) {
            let refused = assume(&sender, &reader_of(other))
                .await
                .err()
                .expect("the reader of another tenant must be refused");
            assert!(refused.is_refused(), "{}", refused.body);
        }
        let reader = assume(&sender, &reader_of(tenant))
            .await
            .expect("the reader of the own tenant must be allowed");
        for run in &runs {
            for key in [run.manifest_key(), run.signature_key(), run.step_key("answer", None)] {
                let got = reader.call(get(&key)).await;
                let is_own = run.tenant == tenant;
                assert_eq!((got.status == 200, got.is_refused()), (is_own, !is_own), "{key}");
            }
        }
        let key = json!({ "KeyId": output("SigningKeyArn") });
        let got = reader.call(Call::json("kms", "TrentService.GetPublicKey", &key)).await;
        assert_eq!(got.status, 200, "{}", got.body);

        let table = json!({ "TableName": output("LedgerTable") });
        let own = &runs.iter().find(|run| run.tenant == tenant).unwrap().manifest_key();
        for call in [
            Call::json("dynamodb", "DynamoDB_20120810.Scan", &table),
            Call::json("ssm", "AmazonSSM.GetParameter", &json!({ "Name": "/bcce/dev/stack" })),
            get("config/prices.yaml"),
            Call::put("s3", format!("/{}/{own}", output("ArtifactBucket")), "{}".into()),
            Call::get("s3", format!("/{}?list-type=2&prefix=runs%2F", output("ArtifactBucket"))),
            send(&queue("inbox", tenant), "{}"),
        ] {
            let call_text = call.describe();
            let answer = reader.call(call).await;
            assert!(
                answer.is_refused(),
                "{tenant}: {call_text}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
}
