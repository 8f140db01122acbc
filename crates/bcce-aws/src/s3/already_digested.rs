use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use bcce_core::base::digest::in_hex;

/// Gives the signature of a request the SHA-256 of its body. Otherwise the SDK would compute it again: over a segment of a
/// batch, that takes as long as the whole rest of the request.
#[derive(Debug)]
pub(super) struct AlreadyDigested(pub [u8; 32]);

impl Intercept for AlreadyDigested {
    fn name(&self) -> &'static str {
        "AlreadyDigested"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let digest = PayloadSigningOverride::Precomputed(in_hex(&self.0));
        config.interceptor_state().store_put(digest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_smithy_http_client::test_util::{CaptureRequestReceiver, capture_request};
    use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
    use aws_types::SdkConfig;
    use aws_types::region::Region;
    use bcce_core::base::digest::sha256_hex;
    use bcce_core::ports::{GetObject, PutOnce};

    use crate::s3::S3Store;

    /// Returns a store that sends one request, and what receives it.
    fn store() -> (S3Store, CaptureRequestReceiver) {
        let (http, request) = capture_request(None);
        let credentials = Credentials::new("key", "secret", None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .build();
        (S3Store::new(&config, "b", Some("arn:key")), request)
    }

    #[tokio::test]
    async fn the_signature_of_a_write_covers_the_digest_of_its_body() {
        let (store, request) = store();
        store.put_once("k", "r", b"abc").await.unwrap();
        let request = request.expect_request();
        assert_eq!(request.headers().get("x-amz-content-sha256"), Some(&*sha256_hex(b"abc")));
        let signed = request.headers().get("authorization").unwrap();
        assert!(signed.contains("x-amz-content-sha256"), "{signed}");
    }

    #[tokio::test]
    async fn a_read_asks_for_the_digest_that_it_is_compared_with() {
        let (store, request) = store();
        let _ = store.get("k").await;
        let request = request.expect_request();
        assert_eq!(request.headers().get("x-amz-checksum-mode"), Some("ENABLED"));
        let signed = request.headers().get("authorization").unwrap();
        assert!(signed.contains("x-amz-checksum-mode"), "{signed}");
    }
}
