//! Compares a table of which role may write and read which kind of key with the policies of all templates. A role that
//! gains a permission fails the test, and so does a role that loses one.

mod iam;
mod keys;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use iam::{Ask, Roles, denies, is_of_data};
use table::{ITEMS, Item, OBJECTS, ONCE};

use crate::template::template;

const BUCKET: &str = "arn:aws:s3:::artifacts";
const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/ledger";
/// The actions that read or change objects and items. The tables cover these only.
const KNOWN: [&str; 11] = [
    "s3:GetObject",
    "s3:PutObject",
    "s3:ListBucket",
    // These two are about an upload that is not an object yet.
    "s3:ListMultipartUploadParts",
    "s3:AbortMultipartUpload",
    "dynamodb:PutItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:Query",
    "dynamodb:BatchGetItem",
];

/// Returns the values for the parameters and references in the policies.
fn parameters(tenant: &str) -> Vec<(&'static str, String)> {
    let of = |name, value: &str| (name, value.to_owned());
    vec![
        of("ArtifactBucket.Arn", BUCKET),
        of("LedgerTable.Arn", TABLE),
        of("AWS::Partition", "aws"),
        of("Bucket", "artifacts"),
        of("BatchSources", "arn:aws:s3:::corpus,arn:aws:s3:::corpus/*"),
        of("Tenant", tenant),
    ]
}

/// Returns the roles of the templates for a tenant.
fn roles(tenant: &str) -> Roles {
    let parameters = parameters(tenant);
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Roles::read(&parameters)
}

/// Returns the roles that may do what is asked, without the suffix `Role`.
fn allowed(roles: &Roles, ask: &Ask<'_>) -> BTreeSet<String> {
    let may = roles.names().filter(|role| roles.may(role, ask));
    may.map(|role| role.strip_suffix("Role").unwrap().to_owned()).collect()
}

fn listed(cells: &[&str]) -> BTreeSet<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// Adds a line to `wrong` if the roles that are allowed are not the listed ones.
fn compare(
    wrong: &mut Vec<String>,
    what: &str,
    allowed: &BTreeSet<String>,
    listed: &BTreeSet<String>,
) {
    if let gained @ [_, ..] = allowed.difference(listed).collect::<Vec<_>>().as_slice() {
        wrong.push(format!("{what}: allowed to {gained:?}, which the table does not list"));
    }
    if let lost @ [_, ..] = listed.difference(allowed).collect::<Vec<_>>().as_slice() {
        wrong.push(format!("{what}: refused to {lost:?}, which the table lists"));
    }
}

/// The roles that may write and read an object are those of the table, for each kind and each key. The keys have
/// tenants, workflows and steps that are named like other kinds, so that a pattern that is too wide fails.
#[test]
fn a_role_writes_and_reads_only_the_objects_that_the_table_allows() {
    let mut wrong = Vec::new();
    // The reader role is tested for the tenant of the key, and for a tenant with nearly the same name.
    let both = |tenant: &'static str| (tenant, [roles(tenant), roles(&tenant[..tenant.len() - 1])]);
    let of_tenant: BTreeMap<&str, [Roles; 2]> = keys::TENANTS.into_iter().map(both).collect();
    for (kind, writers, readers) in OBJECTS {
        for key in keys::of(kind) {
            let resource = format!("{BUCKET}/{}", key.key);
            for (roles, is_own) in of_tenant[key.tenant].iter().zip([true, false]) {
                for (action, cells) in [("s3:PutObject", writers), ("s3:GetObject", readers)] {
                    let ask = Ask { action, resource: &resource, context: &[] };
                    let mut cells = listed(cells);
                    cells.retain(|cell| is_own || cell != "Reader");
                    let what = format!("{action} of {kind} ({})", key.key);
                    compare(&mut wrong, &what, &allowed(roles, &ask), &cells);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences, the first: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(20)]
    );
}

/// The roles that may write, delete and read an item of the ledger are those of the table, for each kind of item.
#[test]
fn a_role_writes_and_reads_only_the_ledger_items_that_the_table_allows() {
    let (mut wrong, roles) = (Vec::new(), roles("alpha"));
    for Item { kind, put, update, delete, read } in ITEMS {
        let (pk, attributes) = keys::of_ledger(kind);
        let leading = [pk.as_str()];
        let context: [(&str, &[&str]); 2] =
            [("dynamodb:LeadingKeys", &leading), ("dynamodb:Attributes", attributes)];
        let may = |actions: &[&str]| -> BTreeSet<String> {
            let ask = |action| Ask { action, resource: TABLE, context: &context };
            actions.iter().flat_map(|action| allowed(&roles, &ask(action))).collect()
        };
        for (actions, cells) in [
            // BatchWriteItem also deletes. No role may do that to an item which it may not put.
            (&["dynamodb:PutItem", "dynamodb:BatchWriteItem"][..], put),
            (&["dynamodb:UpdateItem"], update),
            (&["dynamodb:DeleteItem"], delete),
            (&["dynamodb:Query", "dynamodb:BatchGetItem"], read),
        ] {
            compare(&mut wrong, &format!("{actions:?} of {kind}"), &may(actions), &listed(cells));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// No role has an action that the tables do not cover, such as deleting an object. No role may use an index of the
/// ledger or another table.
#[test]
fn no_role_has_an_action_that_the_tables_do_not_know() {
    let roles = roles("alpha");
    let unknown: BTreeSet<&str> = roles
        .actions()
        .filter(|action| is_of_data(action))
        .filter(|action| !KNOWN.contains(action))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    for resource in [format!("{TABLE}/index/listing"), format!("{TABLE}2"), "*".to_owned()] {
        for action in KNOWN.into_iter().filter(|action| action.starts_with("dynamodb:")) {
            let ask = Ask { action, resource: &resource, context: &[] };
            assert_eq!(allowed(&roles, &ask), BTreeSet::new(), "{action} on {resource}");
        }
    }
}

/// The bucket policy refuses a write without `If-None-Match: *` for the kinds that are written once, and for no other
/// kind. It refuses every write without TLS.
#[test]
fn the_bucket_refuses_a_second_writer_of_the_kinds_that_are_written_once() {
    let template = template();
    let policy = &template["Resources"]["ArtifactBucketPolicy"]["Properties"]["PolicyDocument"];
    let parameters = parameters("alpha");
    let parameters: Vec<_> =
        parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let creation: (&str, &[&str]) = ("s3:ObjectCreationOperation", &["true"]);
    let tls: (&str, &[&str]) = ("aws:SecureTransport", &["true"]);
    let plain: (&str, &[&str]) = ("aws:SecureTransport", &["false"]);
    let conditional: (&str, &[&str]) = ("s3:if-none-match", &["*"]);
    for (kind, ..) in OBJECTS {
        for key in keys::of(kind) {
            let resource = format!("{BUCKET}/{}", key.key);
            let is_refused = |context: &[(&str, &[&str])]| {
                let ask = Ask { action: "s3:PutObject", resource: &resource, context };
                denies(policy, &parameters, &ask)
            };
            assert_eq!(is_refused(&[creation, tls]), ONCE.contains(kind), "{kind}: {resource}");
            assert!(!is_refused(&[creation, tls, conditional]), "{kind}: {resource}");
            assert!(is_refused(&[creation, conditional, plain]), "without TLS: {resource}");
        }
    }
}
