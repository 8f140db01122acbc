//! Faults of the caller: each ends with exit code 2, because no check of the stack can be made.

use crate::found::doctor_with;

#[test]
fn a_missing_network_is_named() {
    let found = doctor_with(&[], &[("AWS_ENDPOINT_URL", "http://127.0.0.1:9")]);
    found.one("connection", "fail", "", "AWS_REGION");
    assert_eq!(found.exit, 2);
}

#[test]
fn missing_credentials_are_named() {
    let none = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let found = doctor_with(&[], &none);
    found.one("credentials", "fail", "", "aws sso login");
    assert_eq!(found.exit, 2);
}

#[test]
fn a_region_without_the_stack_is_named() {
    let region = [("AWS_REGION", "eu-central-1"), ("AWS_DEFAULT_REGION", "eu-central-1")];
    let found = doctor_with(&[], &region);
    found.one("stack", "fail", "dev", "account and region");
    assert_eq!(found.exit, 1);
}

#[test]
fn a_missing_region_is_named() {
    let none = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", ""), ("AWS_CONFIG_FILE", "/dev/null")];
    let found = doctor_with(&[], &none);
    found.one("configuration", "fail", "AWS", "AWS_REGION");
    assert_eq!(found.exit, 2);
}
