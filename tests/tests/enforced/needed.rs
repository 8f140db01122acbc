//! The permissions of the roles, each of which must be needed.

use bcce_tests::harness::grants::{GRANTS, Shown};
use bcce_tests::harness::stack::{Stack, output};
use serde_json::json;

use crate::acts::act;
use crate::batch_walk::{CORPUS, batch};
use crate::roles::Role;
use crate::signed::{Call, Caller};
use crate::walk::{dispatch, walk, webhook};

/// Takes each permission out of its role, one at a time. What needs the permission fails without it, and succeeds when
/// it is back. Permissions that cannot be shown here have their reason in tests/src/harness/grants.rs.
#[tokio::test]
async fn each_permission_is_needed() {
    let _guard = crate::ONE_AT_A_TIME.lock().await;
    let (root, stack) = (Caller::root(), Stack::connect().await);
    crate::make_up_for_the_emulator(&root).await;
    let_the_topic_leave_it_to_iam(&root).await;
    let mut wrong = Vec::new();
    for (name, sid, action, shown) in GRANTS {
        if matches!(shown, Shown::Explained(_) | Shown::AsTheTenant) {
            continue;
        }
        // The emulator closes a connection after a thousand calls, even during a call.
        let root = Caller::root();
        let role = Role::find(&root, name).await;
        role.take_away(&root, sid, action).await;
        let without = show(&root, &stack, &role, action, *shown).await;
        role.give_back(&root).await;
        let with = show(&root, &stack, &role, action, *shown).await;
        if without.is_ok() {
            wrong.push(format!("{name}/{sid}: {shown:?} does not need {action}"));
        }
        if let Err(because) = with {
            wrong.push(format!("{name}/{sid}: {shown:?} fails with {action}: {because}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Gives the notifications topic a policy that leaves the decision to IAM. Its default policy lets every role of the
/// account publish.
async fn let_the_topic_leave_it_to_iam(root: &Caller) {
    let topic = output("NotificationsTopicArn");
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sns:Publish", "Resource": topic,
        "Principal": { "AWS": "arn:aws:iam::000000000000:root" },
    }] });
    let policy = policy.to_string();
    let set = [
        ("Action", "SetTopicAttributes"),
        ("Version", "2010-03-31"),
        ("TopicArn", &topic),
        ("AttributeName", "Policy"),
        ("AttributeValue", &policy),
    ];
    let answer = root.call(Call::form("sns", &set)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Does what needs the permission. Panics if a function other than the role's own fails.
async fn show(
    root: &Caller,
    stack: &Stack,
    role: &Role,
    action: &str,
    shown: Shown,
) -> Result<(), String> {
    let broke = match shown {
        Shown::Walk => walk(root, stack).await,
        Shown::Dispatch => dispatch(root).await,
        Shown::Webhook => webhook(root, stack).await,
        Shown::Batch => batch(root, stack, &output("ArtifactBucket"), &role.function()).await,
        Shown::BatchElsewhere => batch(root, stack, CORPUS, &role.function()).await,
        Shown::AsTheRole => return act(root, role, action).await,
        Shown::Simulated(resources) => {
            for resource in resources {
                let resource = of_the_stack(&resource.replace("{}", &role.function()));
                if !role.may(root, action, &resource).await {
                    return Err(format!("refused on {resource}"));
                }
            }
            return Ok(());
        }
        Shown::Explained(_) | Shown::AsTheTenant => unreachable!("not shown here"),
    };
    broke.map_err(|broke| {
        assert_eq!(
            broke.function,
            role.function(),
            "{action} breaks another function: {}",
            broke.because
        );
        broke.because
    })
}

/// Replaces the outputs of the stack that `resource` names.
fn of_the_stack(resource: &str) -> String {
    let names = ["ArtifactBucket", "LedgerTable", "NotificationsTopicArn", "SigningKeyArn"];
    names
        .iter()
        .fold(resource.to_owned(), |text, name| text.replace(&format!("{{{name}}}"), &output(name)))
}
