//! Brings the input of a batch into the artifact bucket. A file is uploaded without being held in memory. An object of
//! another bucket is copied inside S3. An uploaded object is never replaced.

use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use aws_smithy_types::base64;
use bcce_core::base::error::Fault;
use bcce_core::batch::Location;

use super::source::bare;
use super::{S3Store, Sources, content_type, status};
use crate::fault::internal;

/// The largest object that one PutObject or one CopyObject accepts, in bytes.
pub const MAX_UPLOAD_BYTES: u64 = 5 * 1_024 * 1_024 * 1_024;

/// The version and the size of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The ETag, without quotes.
    pub etag: String,
    pub bytes: u64,
}

impl Sources {
    /// Reads an object's ETag and size. Returns `None` if the object does not exist.
    ///
    /// # Errors
    /// `Bcce.Internal`: the object cannot be read.
    pub async fn head(&self, location: &Location) -> Result<Option<Head>, Fault> {
        let head = self.client.head_object().bucket(&location.bucket).key(&location.key);
        match head.send().await {
            Ok(found) => Ok(Some(Head {
                etag: bare(found.e_tag()),
                bytes: found.content_length().unwrap_or_default().try_into().unwrap_or_default(),
            })),
            Err(error) if status(&error) == 404 => Ok(None),
            Err(error) => Err(internal(&format!("s3:HeadObject {location}"), &error)),
        }
    }
}

impl S3Store {
    /// Uploads a file. `sha256` is the digest of the file, and `key` must contain it: an existing object with this key
    /// is kept.
    ///
    /// # Errors
    /// `Bcce.Internal`: the file cannot be read or written, or its digest is not `sha256`.
    pub async fn upload(&self, key: &str, file: &Path, sha256: &[u8; 32]) -> Result<(), Fault> {
        let body = ByteStream::from_path(file).await;
        let body = body.map_err(|e| Fault::internal(format!("{}: {e}", file.display())))?;
        let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        let put = put.content_type(content_type(key)).checksum_sha256(base64::encode(sha256));
        let put = put
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.key_arn.clone())
            .ssekms_encryption_context(base64::encode(context(key)));
        match put.body(body).send().await {
            Ok(_) => Ok(()),
            // An object with this key exists. The key contains the digest, so the content is the same.
            Err(error) if status(&error) == 412 => Ok(()),
            Err(error) => Err(internal(&format!("s3:PutObject {key}"), &error)),
        }
    }

    /// Copies an object of any bucket to `key`.
    ///
    /// # Errors
    /// `Bcce.Internal`: the object cannot be read or written, or its ETag is not `etag`.
    pub async fn copy(&self, from: &Location, etag: &str, key: &str) -> Result<(), Fault> {
        let copy = self.client.copy_object().bucket(&self.bucket).key(key);
        let copy = copy
            .copy_source(copied(from))
            .copy_source_if_match(format!("\"{etag}\""))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.key_arn.clone())
            .ssekms_encryption_context(base64::encode(context(key)));
        let sent = copy.send().await;
        sent.map(|_| ()).map_err(|error| internal(&format!("s3:CopyObject {from}"), &error))
    }
}

fn context(key: &str) -> String {
    format!(r#"{{"upload":"{key}"}}"#)
}

/// Returns `<bucket>/<key>`, percent-encoded for the header.
fn copied(from: &Location) -> String {
    let mut copied = format!("{}/", from.bucket);
    for byte in from.key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                copied.push(byte.into());
            }
            byte => copied.push_str(&format!("%{byte:02X}")),
        }
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::Client;
    use aws_sdk_s3::operation::copy_object::CopyObjectOutput;
    use aws_sdk_s3::operation::head_object::HeadObjectOutput;
    use aws_sdk_s3::operation::put_object::PutObjectOutput;
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use bcce_core::base::digest::sha256;

    fn store(client: Client) -> S3Store {
        S3Store { client, bucket: "b".into(), key_arn: Some("arn:key".into()) }
    }

    fn answer(status: u16) -> HttpResponse {
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from("<Error/>"))
    }

    fn location() -> Location {
        Location { bucket: "theirs".into(), key: "a b/ü+1.csv".into() }
    }

    #[tokio::test]
    async fn a_file_is_uploaded_encrypted_and_checked_and_the_first_one_stays() {
        let file = std::env::temp_dir().join(format!("bcce-upload-{}", std::process::id()));
        std::fs::write(&file, "abc").unwrap();
        let put = mock!(Client::put_object)
            .match_requests(|put| {
                put.if_none_match() == Some("*")
                    && put.ssekms_key_id() == Some("arn:key")
                    && put.ssekms_encryption_context() == Some("eyJ1cGxvYWQiOiJrIn0=")
                    && put.checksum_sha256() == Some("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
            })
            .then_output(|| PutObjectOutput::builder().build());
        let before = mock!(Client::put_object).then_http_response(|| answer(412));
        let changed = mock!(Client::put_object).then_http_response(|| answer(400));
        for (rule, is_written) in [(put, true), (before, true), (changed, false)] {
            let store = store(mock_client!(aws_sdk_s3, [&rule]));
            assert_eq!(store.upload("k", &file, &sha256(b"abc")).await.is_ok(), is_written);
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[tokio::test]
    async fn a_copy_requires_the_etag_of_the_object() {
        let rule = mock!(Client::copy_object)
            .match_requests(|copy| {
                copy.copy_source() == Some("theirs/a%20b/%C3%BC%2B1.csv")
                    && copy.copy_source_if_match() == Some("\"e\"")
                    && copy.ssekms_key_id() == Some("arn:key")
                    && copy.bucket() == Some("b")
            })
            .then_output(|| CopyObjectOutput::builder().build());
        let store = store(mock_client!(aws_sdk_s3, [&rule]));
        assert_eq!(store.copy(&location(), "e", "k").await, Ok(()));
    }

    #[tokio::test]
    async fn a_head_has_the_etag_and_the_size_of_the_object() {
        let there = mock!(Client::head_object)
            .then_output(|| HeadObjectOutput::builder().e_tag("\"e\"").content_length(3).build());
        let sources = Sources { client: mock_client!(aws_sdk_s3, [&there]) };
        let expected = Head { etag: "e".into(), bytes: 3 };
        assert_eq!(sources.head(&location()).await, Ok(Some(expected)));
        for (status, is_fault) in [(404, false), (403, true)] {
            let rule = mock!(Client::head_object).then_http_response(move || answer(status));
            let sources = Sources { client: mock_client!(aws_sdk_s3, [&rule]) };
            assert_eq!(sources.head(&location()).await.is_err(), is_fault, "{status}");
        }
    }
}
