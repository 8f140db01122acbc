//! Objects of batches. This module replaces them, reads ranges of them, and concatenates them without holding all of
//! them in memory.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption,
};
use aws_smithy_types::base64;
use bcce_core::base::digest::{Digest, sha256};
use bcce_core::base::error::Fault;
use bcce_core::ports::{Concatenate, GetObject, GetRange, PutObject};
use bcce_core::run::artifact::ArtifactRef;

use super::{AlreadyDigested, S3Store, broken_off, content_type, status};
use crate::fault::internal;

/// The size of a part of a multipart upload, in bytes. S3 requires at least 5 MiB and accepts at most 10,000 parts.
const PART_BYTES: usize = 16 * 1_024 * 1_024;

fn context(batch_id: &str) -> String {
    format!(r#"{{"batch":"{batch_id}"}}"#)
}

impl PutObject for S3Store {
    async fn put(&self, key: &str, batch_id: &str, body: Vec<u8>) -> Result<(), Fault> {
        self.replace(key, &context(batch_id), &body).await
    }
}

impl GetRange for S3Store {
    async fn range(&self, key: &str, at: u64, bytes: u64) -> Result<Option<Vec<u8>>, Fault> {
        let what = format!("s3:GetObject {key}");
        let last = at + bytes.max(1) - 1;
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let object = match get.range(format!("bytes={at}-{last}")).send().await {
            Ok(object) => object,
            Err(error) if status(&error) == 404 => return Ok(None),
            Err(error) => return Err(internal(&what, &error)),
        };
        let body = object.body.collect().await;
        let body = body.map_err(|error| broken_off(&what, &error))?;
        Ok(Some(body.into_bytes().into()))
    }
}

impl Concatenate for S3Store {
    async fn concatenate(
        &self,
        keys: &[String],
        to: &str,
        batch_id: &str,
    ) -> Result<ArtifactRef, Fault> {
        let mut upload = Upload { store: self, to, batch_id, id: None, parts: Vec::new() };
        let (mut buffer, mut digest, mut bytes) = (Vec::new(), Digest::default(), 0);
        for key in keys {
            let Some(body) = self.get(key).await? else { continue };
            digest.add(&body);
            bytes += body.len() as u64;
            buffer.extend(body);
            while buffer.len() >= PART_BYTES {
                let rest = buffer.split_off(PART_BYTES);
                upload.part(std::mem::replace(&mut buffer, rest)).await?;
            }
        }
        upload.finish(buffer).await?;
        Ok(ArtifactRef { key: to.to_owned(), sha256: digest.hex(), bytes })
    }
}

/// A multipart upload of one object. It begins with the first part. An interrupted upload leaves parts, which the
/// lifecycle rule of the bucket removes.
struct Upload<'a> {
    store: &'a S3Store,
    to: &'a str,
    batch_id: &'a str,
    id: Option<String>,
    parts: Vec<CompletedPart>,
}

impl Upload<'_> {
    /// Returns the id of the upload, and creates the upload if there is none yet.
    async fn begin(&mut self) -> Result<String, Fault> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let create = self.store.client.create_multipart_upload().bucket(&self.store.bucket);
        let created = create
            .key(self.to)
            .content_type(content_type(self.to))
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .set_ssekms_key_id(self.store.key_arn.clone())
            .ssekms_encryption_context(base64::encode(context(self.batch_id)))
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await
            .map_err(|error| internal(&format!("s3:CreateMultipartUpload {}", self.to), &error))?;
        let id = created.upload_id().unwrap_or_default().to_owned();
        self.id = Some(id.clone());
        Ok(id)
    }

    async fn part(&mut self, body: Vec<u8>) -> Result<(), Fault> {
        let id = self.begin().await?;
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let digest = sha256(&body);
        let checksum = base64::encode(digest);
        let upload = self.store.client.upload_part().bucket(&self.store.bucket).key(self.to);
        let sent = upload
            .upload_id(id)
            .part_number(number)
            .checksum_sha256(&checksum)
            .body(ByteStream::from(body))
            .customize()
            .interceptor(AlreadyDigested(digest))
            .send()
            .await
            .map_err(|error| internal(&format!("s3:UploadPart {}", self.to), &error))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(checksum);
        self.parts.push(part.set_e_tag(sent.e_tag).build());
        Ok(())
    }

    /// Uploads `rest` and completes the upload. An object of less than one part is written with one request.
    async fn finish(mut self, rest: Vec<u8>) -> Result<(), Fault> {
        let Some(id) = self.id.clone() else {
            return self.store.put(self.to, self.batch_id, rest).await;
        };
        if !rest.is_empty() {
            self.part(rest).await?;
        }
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts)).build();
        let complete = self.store.client.complete_multipart_upload().bucket(&self.store.bucket);
        let sent = complete.key(self.to).upload_id(id).multipart_upload(parts).send().await;
        let what = format!("s3:CompleteMultipartUpload {}", self.to);
        sent.map(|_| ()).map_err(|error| internal(&what, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::Client;
    use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
    use aws_sdk_s3::operation::create_multipart_upload::CreateMultipartUploadOutput;
    use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
    use aws_sdk_s3::operation::put_object::PutObjectOutput;
    use aws_sdk_s3::operation::upload_part::UploadPartOutput;
    use aws_sdk_s3::types::error::NoSuchKey;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    fn store(client: Client) -> S3Store {
        S3Store { client, bucket: "b".into(), key_arn: Some("arn:key".into()) }
    }

    #[tokio::test]
    async fn a_range_is_the_bytes_that_were_asked_for() {
        let rule = mock!(Client::get_object)
            .match_requests(|get| get.range() == Some("bytes=10-12"))
            .then_output(|| {
                GetObjectOutput::builder().body(ByteStream::from_static(b"abc")).build()
            });
        let client = mock_client!(aws_sdk_s3, [&rule]);
        assert_eq!(store(client).range("k", 10, 3).await, Ok(Some(b"abc".to_vec())));
    }

    #[tokio::test]
    async fn small_objects_become_one_by_one_write_and_missing_ones_are_nothing() {
        let get = |key: &'static str, body: &'static [u8]| {
            mock!(Client::get_object).match_requests(move |get| get.key() == Some(key)).then_output(
                move || GetObjectOutput::builder().body(ByteStream::from_static(body)).build(),
            )
        };
        let (one, three) = (get("1", b"a\n"), get("3", b"c\n"));
        let missing = mock!(Client::get_object)
            .match_requests(|get| get.key() == Some("2"))
            .then_error(|| GetObjectError::NoSuchKey(NoSuchKey::builder().build()));
        let put = mock!(Client::put_object)
            .match_requests(|put| {
                put.key() == Some("all.jsonl")
                    && put.body().bytes() == Some(b"a\nc\n")
                    && put.ssekms_encryption_context() == Some("eyJiYXRjaCI6ImItMSJ9")
                    && put.if_none_match().is_none()
            })
            .then_output(|| PutObjectOutput::builder().build());
        let client = mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&one, &three, &missing, &put]);
        let keys = ["1", "2", "3"].map(str::to_owned);
        let written = store(client).concatenate(&keys, "all.jsonl", "b-1").await.unwrap();
        assert_eq!(written, ArtifactRef::of("all.jsonl".into(), b"a\nc\n"));
    }

    #[tokio::test]
    async fn large_objects_are_uploaded_in_parts_that_are_not_held_together() {
        let size = PART_BYTES / 2 + 1;
        let get = mock!(Client::get_object).then_output(move || {
            GetObjectOutput::builder().body(ByteStream::from(vec![b'x'; size])).build()
        });
        let create = mock!(Client::create_multipart_upload)
            .match_requests(|create| {
                create.ssekms_key_id() == Some("arn:key")
                    && create.ssekms_encryption_context() == Some("eyJiYXRjaCI6ImItMSJ9")
            })
            .then_output(|| CreateMultipartUploadOutput::builder().upload_id("u").build());
        let part = mock!(Client::upload_part)
            .match_requests(|part| part.upload_id() == Some("u"))
            .then_output(|| UploadPartOutput::builder().e_tag("e").build());
        let complete = mock!(Client::complete_multipart_upload)
            .match_requests(|complete| {
                let parts = complete.multipart_upload().map(|upload| upload.parts().to_vec());
                let numbers: Vec<_> =
                    parts.unwrap_or_default().iter().map(|part| part.part_number()).collect();
                numbers == [Some(1), Some(2)]
            })
            .then_output(|| CompleteMultipartUploadOutput::builder().build());
        let client =
            mock_client!(aws_sdk_s3, RuleMode::MatchAny, [&get, &create, &part, &complete]);
        let keys = ["1", "2", "3"].map(str::to_owned);
        let written = store(client).concatenate(&keys, "all.jsonl", "b-1").await.unwrap();
        let expected = ArtifactRef::of("all.jsonl".into(), &vec![b'x'; 3 * size]);
        assert_eq!((written, part.num_calls()), (expected, 2));
    }
}
