//! Signs manifests and verifies their signatures with a KMS key.

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::ports::{SignDigest, VerifyDigest};
use time::OffsetDateTime;

use crate::fault::internal;

/// The state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The state in the spelling of KMS, such as `Enabled`, `Disabled` or `PendingDeletion`.
    pub state: String,
    pub deletion_at: Option<OffsetDateTime>,
}

/// Reads the state of the key with this ARN.
///
/// # Errors
/// `Bcce.Internal`: KMS cannot be called, or the key does not exist.
pub async fn key_state(config: &SdkConfig, arn: &str) -> Result<KeyState, Fault> {
    let described = Client::new(config).describe_key().key_id(arn).send().await;
    let described = described.map_err(|error| internal("kms:DescribeKey", &error))?;
    let metadata = described.key_metadata();
    let state = metadata.and_then(|key| key.key_state()).map(|state| state.as_str().to_owned());
    let deletion = metadata.and_then(|key| key.deletion_date());
    Ok(KeyState {
        state: state.unwrap_or_default(),
        deletion_at: deletion.and_then(|at| OffsetDateTime::from_unix_timestamp(at.secs()).ok()),
    })
}

/// The signing key of the stack, an ECC_NIST_P256 key.
pub struct SigningKey {
    client: Client,
    arn: String,
}

impl SigningKey {
    /// Creates the adapter for the key with this ARN.
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Client::new(config), arn: arn.to_owned() }
    }

    /// Reads the public key, DER-encoded (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// `Bcce.Internal`: KMS cannot be called, or returns no key.
    pub async fn public_key(&self) -> Result<Vec<u8>, Fault> {
        let got = self.client.get_public_key().key_id(&self.arn).send().await;
        let got = got.map_err(|error| internal("kms:GetPublicKey", &error))?;
        let key = got.public_key.ok_or_else(|| Fault::internal("kms:GetPublicKey: no key"))?;
        Ok(key.into_inner())
    }
}

impl SignDigest for SigningKey {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        // KMS accepts at most 4,096 bytes of a raw message, so the digest is signed.
        let sign = self.client.sign().key_id(&self.arn).message_type(MessageType::Digest);
        let sign =
            sign.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).message(Blob::new(*digest));
        let signed = sign.send().await.map_err(|error| internal("kms:Sign", &error))?;
        let signature =
            signed.signature.ok_or_else(|| Fault::internal("kms:Sign: no signature"))?;
        Ok(signature.into_inner())
    }
}

impl VerifyDigest for SigningKey {
    async fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, Fault> {
        let verify = self.client.verify().key_id(&self.arn).message_type(MessageType::Digest);
        let verify =
            verify.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).message(Blob::new(*digest));
        match verify.signature(Blob::new(signature)).send().await {
            Ok(verified) => Ok(verified.signature_valid()),
            Err(error) => match error.as_service_error() {
                Some(error) if error.is_kms_invalid_signature_exception() => Ok(false),
                // The stored bytes may not have the form of a signature.
                Some(error) if error.meta().code() == Some("ValidationException") => Ok(false),
                _ => Err(internal("kms:Verify", &error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::operation::sign::SignOutput;
    use aws_sdk_kms::operation::verify::{VerifyError, VerifyOutput};
    use aws_sdk_kms::types::error::KmsInvalidSignatureException;
    use aws_smithy_mocks::{mock, mock_client};

    #[tokio::test]
    async fn a_signature_of_other_bytes_is_invalid_and_not_an_error() {
        let right = mock!(Client::verify)
            .match_requests(|verify| verify.message_type() == Some(&MessageType::Digest))
            .then_output(|| VerifyOutput::builder().signature_valid(true).build());
        let wrong = mock!(Client::verify).then_error(|| {
            let exception = KmsInvalidSignatureException::builder().build();
            VerifyError::KmsInvalidSignatureException(exception)
        });
        for (rule, expected) in [(right, true), (wrong, false)] {
            let key = SigningKey { client: mock_client!(aws_sdk_kms, [&rule]), arn: "a".into() };
            assert_eq!(key.verify(&[0; 32], &[1]).await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn the_digest_is_signed() {
        let rule = mock!(Client::sign)
            .match_requests(|sign| {
                sign.message_type() == Some(&MessageType::Digest)
                    && sign.message().is_some_and(|message| message.as_ref().len() == 32)
            })
            .then_output(|| SignOutput::builder().signature(Blob::new([1, 2])).build());
        let key = SigningKey { client: mock_client!(aws_sdk_kms, [&rule]), arn: "a".into() };
        assert_eq!(key.sign(&[0; 32]).await, Ok(vec![1, 2]));
    }
}
