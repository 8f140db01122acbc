//! Tests with IAM enforced: the roles of the templates suffice, and each role has only the permissions that it needs.
//!
//! `make enforced` starts the suite on a local stack of its own with IAM and TLS. The tests run one at a time, because
//! one of them takes permissions away.

mod acts;
mod batch_walk;
mod forged;
mod needed;
mod roles;
mod signed;
mod suffice;
mod tenants;
mod topic;
mod walk;

use serde_json::json;

use roles::Role;
use signed::Caller;

/// Makes the tests run one at a time, because one of them takes away permissions that the others need.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Lets the roles read every SSM parameter. The emulator checks this permission on `*`, while AWS checks it on each
/// parameter's name.
async fn make_up_for_the_emulator(root: &Caller) {
    let anything = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["ssm:GetParameters", "ssm:GetParametersByPath"], "Resource": "?" }] });
    for role in ["DispatchRole", "OpenBatchRole", "PrepareRole", "RenderPartRole", "WebhookRole"] {
        Role::find(root, role).await.put(root, "emulator", &anything).await;
    }
}
