//! Reads the source of a batch: one object of any bucket, read as a stream, or the objects below a prefix.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use bcce_core::batch::Location;
use bcce_core::batch::item::Object;
use bcce_core::ports::{ListSource, NextBytes, OpenSource, Page, SourceObject};

use super::{broken_off, status};
use crate::fault::internal;

/// The objects of all buckets that the caller may read.
pub struct Sources {
    pub(super) client: Client,
}

impl Sources {
    pub fn new(config: &SdkConfig) -> Self {
        let path_style = config.endpoint_url().is_some();
        let client = Client::from_conf(Builder::from(config).force_path_style(path_style).build());
        Self { client }
    }
}

impl OpenSource for Sources {
    type Body = Body;

    async fn open(
        &self,
        location: &Location,
        etag: Option<&str>,
    ) -> Result<Option<SourceObject<Body>>, Fault> {
        let get = self.client.get_object().bucket(&location.bucket).key(&location.key);
        match get.set_if_match(etag.map(|etag| format!("\"{etag}\""))).send().await {
            Ok(object) => Ok(Some(SourceObject {
                etag: bare(object.e_tag()),
                bytes: object.content_length().and_then(|bytes| bytes.try_into().ok()),
                body: Body { what: location.to_string(), bytes: object.body },
            })),
            Err(error) if error.code() == Some("NoSuchBucket") => Ok(None),
            Err(error) if [404, 412].contains(&status(&error)) => Ok(None),
            Err(error) => Err(internal(&format!("s3:GetObject {location}"), &error)),
        }
    }
}

/// Returns an ETag without the quotes that HTTP puts around it.
pub(super) fn bare(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

/// The body of an object, read as a stream.
pub struct Body {
    /// The location of the object, for error messages.
    what: String,
    bytes: ByteStream,
}

impl NextBytes for Body {
    async fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let next = self.bytes.try_next().await;
        let next = next.map_err(|error| broken_off(&self.what, &error))?;
        Ok(next.map(|bytes| bytes.to_vec()))
    }
}

impl ListSource for Sources {
    async fn page(&self, prefix: &Location, from: Option<&str>) -> Result<Page, Fault> {
        let list = self.client.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key);
        let listed = match list.set_continuation_token(from.map(str::to_owned)).send().await {
            Ok(listed) => listed,
            Err(error) if error.code() == Some("NoSuchBucket") => return Ok(Page::default()),
            Err(error) => return Err(internal(&format!("s3:ListObjectsV2 {prefix}"), &error)),
        };
        let object = |object: &aws_sdk_s3::types::Object| {
            Some(Object {
                key: object.key()?.to_owned(),
                etag: bare(object.e_tag()),
                bytes: object.size().unwrap_or_default().try_into().unwrap_or_default(),
            })
        };
        let objects = listed.contents().iter().filter_map(object).collect();
        Ok(Page { objects, next: listed.next_continuation_token().map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::operation::get_object::GetObjectOutput;
    use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
    use aws_smithy_mocks::{mock, mock_client};
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    fn location() -> Location {
        Location { bucket: "b".into(), key: "k".into() }
    }

    #[tokio::test]
    async fn an_object_is_read_as_a_stream_if_its_etag_matches() {
        let rule = mock!(Client::get_object)
            .match_requests(|get| get.if_match() == Some("\"e\"") && get.bucket() == Some("b"))
            .then_output(|| {
                let body = ByteStream::from_static(b"abc");
                GetObjectOutput::builder().e_tag("\"e\"").content_length(3).body(body).build()
            });
        let sources = Sources { client: mock_client!(aws_sdk_s3, [&rule]) };
        let mut object = sources.open(&location(), Some("e")).await.unwrap().unwrap();
        assert_eq!((object.etag.as_str(), object.bytes), ("e", Some(3)));
        assert_eq!(object.body.next_bytes().await, Ok(Some(b"abc".to_vec())));
        assert_eq!(object.body.next_bytes().await, Ok(None));
    }

    #[tokio::test]
    async fn a_missing_or_changed_object_is_none_and_a_denied_one_is_a_fault() {
        for (code, is_none) in [(404, true), (412, true), (403, false)] {
            let rule = mock!(Client::get_object).then_http_response(move || {
                HttpResponse::new(StatusCode::try_from(code).unwrap(), SdkBody::from("<Error/>"))
            });
            let sources = Sources { client: mock_client!(aws_sdk_s3, [&rule]) };
            let opened = sources.open(&location(), Some("e")).await;
            assert_eq!(opened.is_ok_and(|object| object.is_none()), is_none, "{code}");
        }
    }

    #[tokio::test]
    async fn a_page_continues_after_the_previous_one() {
        let rule = mock!(Client::list_objects_v2)
            .match_requests(|list| {
                list.continuation_token() == Some("t") && list.prefix() == Some("k")
            })
            .then_output(|| {
                let object =
                    aws_sdk_s3::types::Object::builder().key("k/b").e_tag("\"e\"").size(5).build();
                ListObjectsV2Output::builder().contents(object).next_continuation_token("u").build()
            });
        let sources = Sources { client: mock_client!(aws_sdk_s3, [&rule]) };
        let page = sources.page(&location(), Some("t")).await.unwrap();
        let expected = Object { key: "k/b".into(), etag: "e".into(), bytes: 5 };
        assert_eq!(page, Page { objects: vec![expected], next: Some("u".into()) });
    }
}
