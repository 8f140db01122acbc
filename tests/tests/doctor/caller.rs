//! Faults of the caller: each ends with exit code 2, because no check of the stack can be made.

use std::net::TcpListener;

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

/// A service that accepts connections and never answers does not keep the command from its end.
#[test]
fn a_network_that_hangs_is_named() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let started = std::time::Instant::now();
    let found = doctor_with(&[], &[("AWS_ENDPOINT_URL", &url)]);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    found.one("connection", "fail", "", "the network");
    assert_eq!(found.exit, 2);
}

#[test]
fn expired_credentials_are_named() {
    let expired = r#"{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"x","SessionToken":"y","Expiration":"2020-01-01T00:00:00Z"}"#;
    let file = std::env::temp_dir().join(format!("bcce-expired-{}", std::process::id()));
    let (answer, config) = (file.with_extension("json"), file.with_extension("config"));
    std::fs::write(&answer, expired).unwrap();
    let profile = format!("[default]\ncredential_process = cat {}\n", answer.display());
    std::fs::write(&config, profile).unwrap();
    let by_profile = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
    ];
    let found = doctor_with(&[], &by_profile);
    for file in [&answer, &config] {
        std::fs::remove_file(file).unwrap();
    }
    found.one("credentials-expiry", "fail", "", "aws sso login");
}
