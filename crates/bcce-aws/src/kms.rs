//! Signatures over manifests.

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use aws_types::SdkConfig;
use bcce_core::error::Fault;
use bcce_core::ports::SignDigest;

use crate::fault::internal;

/// An ECC_NIST_P256 key.
pub struct SigningKey {
    client: Client,
    arn: String,
}

impl SigningKey {
    pub fn new(config: &SdkConfig, arn: &str) -> Self {
        Self { client: Client::new(config), arn: arn.to_owned() }
    }

    /// The public key, DER-encoded (SubjectPublicKeyInfo).
    pub async fn public_key(&self) -> Result<Vec<u8>, Fault> {
        let got = self.client.get_public_key().key_id(&self.arn).send().await;
        let got = got.map_err(|error| internal("kms:GetPublicKey", &error))?;
        let key = got.public_key.ok_or_else(|| Fault::internal("kms:GetPublicKey: no key"))?;
        Ok(key.into_inner())
    }
}

impl SignDigest for SigningKey {
    async fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Fault> {
        // A raw message may have 4,096 bytes at most, so it is always the digest that is signed.
        let sign = self.client.sign().key_id(&self.arn).message_type(MessageType::Digest);
        let sign =
            sign.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).message(Blob::new(*digest));
        let signed = sign.send().await.map_err(|error| internal("kms:Sign", &error))?;
        let signature =
            signed.signature.ok_or_else(|| Fault::internal("kms:Sign: no signature"))?;
        Ok(signature.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::operation::sign::SignOutput;
    use aws_smithy_mocks::{mock, mock_client};

    #[tokio::test]
    async fn it_is_the_digest_that_is_signed() {
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
