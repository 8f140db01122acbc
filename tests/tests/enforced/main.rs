//! IAM enforced, on a stack of its own: `make enforced`. The template's roles suffice, and no more than they
//! need is in them.

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

/// A test takes permissions away that the others need.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// SSM's parameters are asked for on `*` by the emulator, and by their names on AWS.
async fn make_up_for_the_emulator(root: &Caller) {
    let anything = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": ["ssm:GetParameters", "ssm:GetParametersByPath"], "Resource": "?" }] });
    for role in ["DispatchRole", "OpenBatchRole", "PrepareRole", "RenderPartRole", "WebhookRole"] {
        Role::find(root, role).await.put(root, "emulator", &anything).await;
    }
}
