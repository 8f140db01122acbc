//! Compares the permissions of the templates' roles with the table of what shows that each one is needed.

use std::collections::BTreeSet;

use bcce_tests::harness::grants::{GRANTS, Shown};
use serde_json::Value;

use crate::template::every_template;

/// The role, the id of the statement, and the action.
pub type Permission = (String, String, String);

/// Returns the role, the statement and the action of each permission in the templates.
pub fn granted() -> Vec<Permission> {
    let templates = every_template();
    let resources = templates.iter().flat_map(|t| t["Resources"].as_object().unwrap());
    let roles = resources.filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role");
    let mut granted = Vec::new();
    for (role, resource) in roles {
        let policies = list(&resource["Properties"]["Policies"]);
        let documents = policies.iter().map(|policy| &policy["PolicyDocument"]["Statement"]);
        // A statement with a condition (`!If`) is in a list with the condition's name.
        let statements = documents.flat_map(list).flat_map(list).filter(|part| part.is_object());
        for statement in statements {
            let sid =
                statement["Sid"].as_str().unwrap_or_else(|| panic!("{role}: a Sid is missing"));
            for action in list(&statement["Action"]) {
                let action = action.as_str().unwrap().to_owned();
                granted.push((role.clone(), sid.to_owned(), action));
            }
        }
    }
    granted
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

/// Each permission has one row in the table, and each row is a permission of a template.
#[test]
fn every_permission_is_shown_to_be_needed_or_explained() {
    let granted: BTreeSet<Permission> = granted().into_iter().collect();
    let shown =
        GRANTS.iter().map(|(role, sid, action, _)| [role, sid, action].map(|s| (*s).to_owned()));
    let shown: BTreeSet<Permission> =
        shown.map(|[role, sid, action]| (role, sid, action)).collect();
    let unshown: Vec<_> = granted.difference(&shown).collect();
    assert!(unshown.is_empty(), "without a row in tests/src/harness/grants.rs: {unshown:#?}");
    let gone: Vec<_> = shown.difference(&granted).collect();
    assert!(gone.is_empty(), "in tests/src/harness/grants.rs and not in a template: {gone:#?}");
    assert_eq!(GRANTS.len(), shown.len(), "a permission has two rows");
}

/// A role has only the policies that the template writes in it, where the test above finds them, and no action has a
/// wildcard.
#[test]
fn no_role_has_permissions_from_elsewhere() {
    for (name, resource) in
        every_template().iter().flat_map(|t| t["Resources"].as_object().unwrap())
    {
        let properties = &resource["Properties"];
        assert!(properties["ManagedPolicyArns"].is_null(), "{name} has managed policies");
        // SAM adds these to a role that it makes itself.
        let sam = resource["Type"].as_str().unwrap().starts_with("AWS::Serverless::");
        assert!(
            !sam || properties["Policies"].is_null(),
            "{name} has policies in addition to those of its role"
        );
        assert!(!sam || !properties["Role"].is_null(), "{name} has a role that SAM makes");
        assert!(
            !["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"]
                .contains(&resource["Type"].as_str().unwrap()),
            "{name} grants permissions outside of the roles"
        );
    }
    for (role, sid, action) in granted() {
        assert!(!action.contains('*'), "{role}/{sid} grants {action}");
    }
}

/// A row without a test has a reason, and a row for the policy simulator has a resource.
#[test]
fn every_grant_that_no_test_shows_has_its_reason() {
    for (role, sid, action, shown) in GRANTS {
        match shown {
            Shown::Explained(reason) => assert!(!reason.is_empty(), "{role}/{sid}: {action}"),
            Shown::Simulated(on) => assert!(!on.is_empty(), "{role}/{sid}: {action} on nothing"),
            Shown::Walk
            | Shown::Dispatch
            | Shown::Webhook
            | Shown::Batch
            | Shown::BatchElsewhere
            | Shown::AsTheRole
            | Shown::AsTheTenant => {}
        }
    }
}

/// Only the functions that seal may use the signing key, because a signature means that one of them made the manifest.
#[test]
fn only_sealers_sign() {
    let signing = GRANTS.iter().filter(|(_, _, action, _)| *action == "kms:Sign");
    let signers: BTreeSet<&str> = signing.map(|(role, ..)| *role).collect();
    let sealers = ["CloseBatchRole", "CollectPartRole", "PersistArtifactRole"];
    assert_eq!(signers, sealers.into());
}
