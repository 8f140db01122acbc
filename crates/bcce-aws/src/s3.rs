//! Reads and writes artifacts in S3. Each write names SSE-KMS explicitly and has a checksum that S3 verifies. A write
//! of an artifact is conditional: the first writer wins.

mod already_digested; // uploads whose digest is computed once
mod batches; // objects of batches: ranges, replacements, concatenations
mod settings; // the settings of the bucket
mod source; // objects of any bucket, read as a stream
mod upload; // batch sources, written from a file or copied from another bucket

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, ResponseChecksumValidation};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_checksums::ChecksumAlgorithm;
use aws_smithy_types::base64;
use aws_types::SdkConfig;
use bcce_core::base::digest::sha256;
use bcce_core::base::error::Fault;
use bcce_core::ports::{
    GetObject, GetSealed, ListObjects, Put, PutDocument, PutOnce, PutSealed, SealedObject,
};

use crate::fault::internal;

/// The number of tries of a write that S3 refuses with 409 because of a concurrent write to the same key.
const CONFLICT_TRIES: u32 = 5;
/// The metadata key of a manifest's signature, which is in base64.
const SIGNATURE: &str = "bcce-signature";

use already_digested::AlreadyDigested;

pub use settings::Settings;
pub use source::Sources;
pub use upload::{Head, MAX_UPLOAD_BYTES};

/// The artifact bucket.
pub struct S3Store {
    client: Client,
    bucket: String,
    /// The ARN of the KMS key that encrypts objects. `None` if the store is only read.
    key_arn: Option<String>,
}

impl S3Store {
    /// Creates the adapter. `key_arn` is the KMS key that encrypts objects, and is required to write.
    pub fn new(config: &SdkConfig, bucket: &str, key_arn: Option<&str>) -> Self {
        // An emulator has no wildcard DNS for virtual-hosted buckets.
        let path_style = config.endpoint_url().is_some();
        let config = Builder::from(config)
            .force_path_style(path_style)
            // `read` checks the digest itself.
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        let client = Client::from_conf(config.build());
        Self { client, bucket: bucket.to_owned(), key_arn: key_arn.map(str::to_owned) }
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Writes an object. Replaces an existing one.
    async fn replace(&self, key: &str, context: &str, body: &[u8]) -> Result<(), Fault> {
        let digest = sha256(body);
        let put = self.request(key, context, body, &digest).customize();
        let sent = put.interceptor(AlreadyDigested(digest)).send().await;
        sent.map(|_| ()).map_err(|error| internal(&format!("s3:PutObject {key}"), &error))
    }

    fn request(
        &self,
        key: &str,
        context: &str,
        body: &[u8],
        digest: &[u8; 32],
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type(key))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.key_arn.clone())
            // The context names the run, batch or part in the log of the KMS key. A bucket key would hide the object from that log.
            .ssekms_encryption_context(base64::encode(context))
            .checksum_sha256(base64::encode(digest))
            .body(ByteStream::from(body.to_vec()))
    }
}

fn content_type(key: &str) -> &'static str {
    match key.rsplit('.').next() {
        Some("json") => "application/json",
        Some("yaml") => "application/yaml",
        _ => "application/octet-stream",
    }
}

fn status<E>(error: &SdkError<E>) -> u16 {
    error.raw_response().map_or(0, |response| response.status().as_u16())
}

impl PutOnce for S3Store {
    async fn put_once(&self, key: &str, id: &str, body: &[u8]) -> Result<Put, Fault> {
        self.create(key, id, body, None).await
    }
}

impl PutSealed for S3Store {
    async fn put_sealed(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: &[u8],
    ) -> Result<Put, Fault> {
        self.create(key, id, body, Some(signature)).await
    }
}

impl S3Store {
    /// Writes an object with its signature as metadata, unless the key exists.
    async fn create(
        &self,
        key: &str,
        id: &str,
        body: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Put, Fault> {
        let context = format!(r#"{{"run":"{id}"}}"#);
        let (signature, digest) = (signature.map(base64::encode), sha256(body));
        let mut tries = 0;
        loop {
            tries += 1;
            let put = self.request(key, &context, body, &digest).if_none_match("*");
            let put = match &signature {
                Some(signature) => put.metadata(SIGNATURE, signature),
                None => put,
            };
            let put = put.customize().interceptor(AlreadyDigested(digest));
            // Boxed: an SDK future nested in the futures of a handler exceeds the compiler's recursion limit.
            match Box::pin(put.send()).await {
                Ok(_) => return Ok(Put::Stored),
                Err(error) if status(&error) == 412 => return Ok(Put::Existed),
                Err(error) if status(&error) == 409 && tries < CONFLICT_TRIES => {
                    tokio::time::sleep(std::time::Duration::from_millis(50 << tries)).await;
                }
                Err(error) => return Err(internal(&format!("s3:PutObject {key}"), &error)),
            }
        }
    }
}

impl PutDocument for S3Store {
    /// Replaces an existing object, which has the same content: the key contains the digest of the document.
    async fn put_document(&self, key: &str, body: &[u8]) -> Result<(), Fault> {
        self.replace(key, &format!(r#"{{"config":"{key}"}}"#), body).await
    }
}

impl GetObject for S3Store {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.read(key).await?.map(|(object, _)| object.body))
    }

    async fn get_with_digest(&self, key: &str) -> Result<Option<(Vec<u8>, [u8; 32])>, Fault> {
        Ok(self.read(key).await?.map(|(object, digest)| (object.body, digest)))
    }
}

impl GetSealed for S3Store {
    async fn get_sealed(&self, key: &str) -> Result<Option<SealedObject>, Fault> {
        Ok(self.read(key).await?.map(|(object, _)| object))
    }
}

impl S3Store {
    /// Reads an object with the digest of its body, and compares the digest with the one it was stored with.
    async fn read(&self, key: &str) -> Result<Option<(SealedObject, [u8; 32])>, Fault> {
        let what = format!("s3:GetObject {key}");
        let get = self.client.get_object().bucket(&self.bucket).key(key).customize();
        // The parameter of the operation would make the SDK compute the digest, too.
        let get = get.mutate_request(|request| {
            request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
        });
        // Boxed, as above.
        let object = match Box::pin(get.send()).await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(|e| e.is_no_such_key()) => {
                return Ok(None);
            }
            Err(error) => return Err(internal(&what, &error)),
        };
        let stored = object.checksum_sha256().map(str::to_owned);
        let of_others = other_checksum(&object);
        let signature = object.metadata().and_then(|metadata| metadata.get(SIGNATURE));
        // A value that is not base64 is not a signature.
        let signature = signature.and_then(|text| base64::decode(text).ok());
        let read = object.body.collect().await;
        // Not `to_vec`, which copies byte by byte.
        let body = Vec::from(read.map_err(|error| broken_off(&what, &error))?.into_bytes());
        let digest = sha256(&body);
        match stored {
            // The checksum of a multipart upload, such as `...-3`, is not a digest of the body.
            Some(stored) if !stored.contains('-') && stored != base64::encode(digest) => {
                Err(Fault::internal(format!(
                    "{what}: the body does not match the digest it was stored with"
                )))
            }
            None if of_others
                .is_some_and(|(algorithm, stored)| checksum(algorithm, &body) != stored) =>
            {
                Err(Fault::internal(format!("{what}: the body does not match its checksum")))
            }
            _ => Ok(Some((SealedObject { body, signature }, digest))),
        }
    }
}

/// Returns the checksum of a body that another program stored, such as the answers that Bedrock writes: S3 computes one
/// if the program sends none.
fn other_checksum(object: &GetObjectOutput) -> Option<(ChecksumAlgorithm, String)> {
    let known = [
        (ChecksumAlgorithm::Crc64Nvme, object.checksum_crc64_nvme()),
        (ChecksumAlgorithm::Crc32, object.checksum_crc32()),
        (ChecksumAlgorithm::Crc32c, object.checksum_crc32_c()),
        (ChecksumAlgorithm::Sha1, object.checksum_sha1()),
    ];
    let mut known = known.into_iter().filter_map(|(algorithm, stored)| Some((algorithm, stored?)));
    // As with SHA-256, that of an upload in parts may not be one of the body.
    known
        .find(|(_, stored)| !stored.contains('-'))
        .map(|(algorithm, stored)| (algorithm, stored.to_owned()))
}

fn checksum(algorithm: ChecksumAlgorithm, body: &[u8]) -> String {
    let mut checksum = algorithm.into_impl();
    checksum.update(body);
    base64::encode(checksum.finalize())
}

/// Returns the fault for a body that could not be read to its end. The message has the innermost error, because the
/// outer ones only say that streaming failed.
fn broken_off(what: &str, error: &dyn std::error::Error) -> Fault {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Fault::internal(format!("{what}: the transfer from S3 failed: {cause}"))
}

impl ListObjects for S3Store {
    async fn list(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|error| internal(&format!("s3:ListObjects {prefix}"), &error))?;
            keys.extend(
                page.contents().iter().filter_map(|object| object.key().map(str::to_owned)),
            );
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::operation::get_object::GetObjectError;
    use aws_sdk_s3::operation::put_object::PutObjectOutput;
    use aws_sdk_s3::types::error::NoSuchKey;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    fn store(client: Client) -> S3Store {
        S3Store { client, bucket: "b".into(), key_arn: Some("arn:key".into()) }
    }

    fn answer(status: u16) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from("<Error/>"))
    }

    #[tokio::test]
    async fn a_write_is_conditional_encrypted_and_checked() {
        let rule = mock!(Client::put_object)
            .match_requests(|put| {
                put.if_none_match() == Some("*")
                    && put.ssekms_key_id() == Some("arn:key")
                    && put.ssekms_encryption_context() == Some("eyJydW4iOiJyLTEifQ==")
                    && put.checksum_sha256() == Some("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
            })
            .then_output(|| PutObjectOutput::builder().build());
        let client = mock_client!(aws_sdk_s3, [&rule]);
        assert_eq!(store(client).put_once("k.json", "r-1", b"abc").await, Ok(Put::Stored));
    }

    #[tokio::test]
    async fn a_signature_is_written_with_its_object_and_read_with_it() {
        let put = mock!(Client::put_object)
            .match_requests(|put| {
                let metadata = put.metadata().unwrap();
                put.if_none_match() == Some("*") && metadata["bcce-signature"] == "AQI="
            })
            .then_output(|| PutObjectOutput::builder().build());
        let client = mock_client!(aws_sdk_s3, [&put]);
        assert_eq!(store(client).put_sealed("k", "r", b"abc", &[1, 2]).await, Ok(Put::Stored));
        for (text, signature) in [(Some("AQI="), Some(vec![1, 2])), (Some("?"), None), (None, None)]
        {
            let get = mock!(Client::get_object).then_output(move || {
                let get = GetObjectOutput::builder().body(ByteStream::from_static(b"abc"));
                text.into_iter().fold(get, |get, text| get.metadata("bcce-signature", text)).build()
            });
            let found = store(mock_client!(aws_sdk_s3, [&get])).get_sealed("k").await;
            assert_eq!(found, Ok(Some(SealedObject { body: b"abc".to_vec(), signature })));
        }
    }

    #[tokio::test]
    async fn refused_means_existed_and_a_conflict_is_tried_again() {
        let conflict = mock!(Client::put_object)
            .sequence()
            .http_status(409, None)
            .times(1)
            .http_status(412, None)
            .build();
        let client = mock_client!(aws_sdk_s3, RuleMode::Sequential, [&conflict]);
        assert_eq!(store(client).put_once("k", "r", b"").await, Ok(Put::Existed));
        assert_eq!(conflict.num_calls(), 2);
    }

    #[tokio::test]
    async fn another_refusal_is_an_error() {
        let denied = mock!(Client::put_object).then_http_response(|| answer(403));
        let client = mock_client!(aws_sdk_s3, [&denied]);
        let fault = store(client).put_once("k", "r", b"").await.unwrap_err();
        assert!(fault.message.starts_with("s3:PutObject k"), "{fault}");
    }

    #[tokio::test]
    async fn a_missing_object_is_none_and_a_changed_one_an_error() {
        let missing = mock!(Client::get_object)
            .then_error(|| GetObjectError::NoSuchKey(NoSuchKey::builder().build()));
        assert_eq!(store(mock_client!(aws_sdk_s3, [&missing])).get("k").await, Ok(None));
        let changed = mock!(Client::get_object).then_output(|| {
            GetObjectOutput::builder()
                .checksum_sha256("AAAA")
                .body(ByteStream::from_static(b"abc"))
                .build()
        });
        let fault = store(mock_client!(aws_sdk_s3, [&changed])).get("k").await.unwrap_err();
        assert!(fault.message.contains("digest"), "{fault}");
    }

    #[tokio::test]
    async fn the_object_of_another_program_is_compared_with_its_own_checksum() {
        // The CRC-64/NVME and the CRC-32C of `abc`.
        for (crc64, crc32c, is_right) in [
            (Some("BeXKuz/B+us="), None, true),
            (None, Some("Nks/tw=="), true),
            (Some("AAAAAAAAAAA="), None, false),
            (None, Some("AAAAAA=="), false),
        ] {
            let get = mock!(Client::get_object).then_output(move || {
                GetObjectOutput::builder()
                    .set_checksum_crc64_nvme(crc64.map(str::to_owned))
                    .set_checksum_crc32_c(crc32c.map(str::to_owned))
                    .body(ByteStream::from_static(b"abc"))
                    .build()
            });
            let found = store(mock_client!(aws_sdk_s3, [&get])).get("k").await;
            assert_eq!(found.is_ok(), is_right, "{crc64:?} {crc32c:?} {found:?}");
        }
    }

    #[tokio::test]
    async fn the_checksum_of_an_upload_in_parts_is_no_digest_of_its_body() {
        let in_parts = mock!(Client::get_object).then_output(|| {
            GetObjectOutput::builder()
                .checksum_sha256("AAAA-2")
                .body(ByteStream::from_static(b"abc"))
                .build()
        });
        let store = store(mock_client!(aws_sdk_s3, [&in_parts]));
        assert_eq!(store.get("k").await, Ok(Some(b"abc".to_vec())));
    }
}
