//! Checks the settings of the artifact bucket.

use bcce_aws::s3::Settings;
use bcce_core::base::error::Fault;

use super::Check;

pub fn check(bucket: &str, settings: &Result<Settings, Fault>) -> Vec<Check> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(fault) => return vec![Check::unread("bucket", bucket, fault)],
    };
    let rows = [
        (
            "versioning",
            settings.is_versioned,
            "keeps old versions of objects",
            "a deleted or replaced object cannot be restored",
            format!(
                "`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`"
            ),
        ),
        (
            "public-access",
            settings.blocks_public_access,
            "blocks public access",
            "the bucket does not block public access",
            format!(
                "`aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration \
                 BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`"
            ),
        ),
        (
            "encryption",
            settings.is_encrypted_with_kms,
            "encrypts with KMS",
            "the bucket does not encrypt with KMS by default",
            "deploy the stack again: `make deploy`".to_owned(),
        ),
        (
            "bucket-events",
            settings.sends_events,
            "sends its events to EventBridge",
            "no event reaches EventBridge, so an object under batches/inbox/ starts no batch",
            format!(
                "`aws s3api put-bucket-notification-configuration --bucket {bucket} --notification-configuration \
                 '{{\"EventBridgeConfiguration\":{{}}}}'`; it replaces all notifications of the bucket, so add to its JSON \
                 those that `aws s3api get-bucket-notification-configuration --bucket {bucket}` shows"
            ),
        ),
    ];
    let one = |(name, is_right, right, wrong, remedy): (_, bool, &str, &str, String)| match is_right
    {
        true => Check::pass(name, bucket, right),
        false => Check::fail(name, bucket, wrong, remedy),
    };
    rows.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn each_setting_that_is_off_is_a_failure_of_its_own() {
        let on = Settings {
            is_versioned: true,
            blocks_public_access: true,
            is_encrypted_with_kms: true,
            sends_events: true,
        };
        let failed = |settings: Settings| {
            let checks = check("b", &Ok(settings)).into_iter();
            let failed = checks.filter(|check| check.state == State::Fail);
            failed.map(|check| check.name).collect::<Vec<_>>()
        };
        assert_eq!(failed(on.clone()), [""; 0]);
        assert_eq!(failed(Settings { is_versioned: false, ..on.clone() }), ["versioning"]);
        assert_eq!(
            failed(Settings { blocks_public_access: false, ..on.clone() }),
            ["public-access"]
        );
        assert_eq!(failed(Settings { sends_events: false, ..on }), ["bucket-events"]);
        assert_eq!(failed(Settings::default()).len(), 4);
    }

    #[test]
    fn the_remedy_for_events_keeps_other_notifications() {
        let checks = check("b", &Ok(Settings::default()));
        let events = checks.iter().find(|check| check.name == "bucket-events").unwrap();
        let put = "`aws s3api put-bucket-notification-configuration --bucket b --notification-configuration \
                   '{\"EventBridgeConfiguration\":{}}'`; it replaces all notifications";
        assert!(events.remedy.starts_with(put), "{events:?}");
        assert!(events.remedy.contains("get-bucket-notification-configuration"), "{events:?}");
    }
}
