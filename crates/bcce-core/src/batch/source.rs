//! The location and format of a batch's source.

use serde::{Deserialize, Serialize};

/// The prefix of the artifact bucket to which `bcce batch submit` uploads sources.
pub const UPLOADS: &str = "batches/uploads/";
/// The prefix of the artifact bucket under which a new object starts a batch.
pub const INBOX: &str = "batches/inbox/";

/// The format of a batch's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// CSV (RFC 4180), with the names of the columns on the first line.
    Csv,
    /// Every object under a prefix is an item.
    Objects,
}

/// A location in S3: `s3://<bucket>/<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub bucket: String,
    /// The key of an object, or a prefix that stands for all objects under it.
    pub key: String,
}

impl Location {
    /// Parses `s3://<bucket>/<key>`.
    ///
    /// # Errors
    /// Returns the problem if `uri` is not a location.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let rest = uri.strip_prefix("s3://").ok_or("must be s3://<bucket>/<key>")?;
        let (bucket, key) = rest.split_once('/').ok_or("must be s3://<bucket>/<key>")?;
        let fits = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !fits {
            return Err("must have the name of a bucket after s3://".into());
        }
        // A whole bucket is hardly ever the intended source.
        if key.is_empty() {
            return Err("must have a key after the bucket".into());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Derives the format from the suffix of the name. Returns `None` if the name does not show it.
    pub fn format(&self) -> Option<Format> {
        let name = self.key.to_ascii_lowercase();
        if name.ends_with('/') {
            Some(Format::Objects)
        } else if [".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
            Some(Format::Jsonl)
        } else {
            name.ends_with(".csv").then_some(Format::Csv)
        }
    }

    /// Returns the workflow that the key names: `batches/inbox/<workflow>/…`. Returns `None` for any other key.
    pub fn workflow(&self) -> Option<&str> {
        let (workflow, _) = self.key.strip_prefix(INBOX)?.split_once('/')?;
        Some(workflow)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_a_key() {
        let location = Location::parse("s3://my-bucket/a/b.CSV").unwrap();
        assert_eq!((location.bucket.as_str(), location.key.as_str()), ("my-bucket", "a/b.CSV"));
        assert_eq!(location.to_string(), "s3://my-bucket/a/b.CSV");
        for wrong in ["", "my-bucket/a", "s3://", "s3://my-bucket", "s3://my-bucket/", "s3://x y/a"]
        {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_shows_the_format_and_the_workflow() {
        let of = |key: &str| Location { bucket: "b".into(), key: key.into() };
        assert_eq!(of("a.jsonl").format(), Some(Format::Jsonl));
        assert_eq!(of("a.ndjson").format(), Some(Format::Jsonl));
        assert_eq!(of("a.csv").format(), Some(Format::Csv));
        assert_eq!(of("docs/").format(), Some(Format::Objects));
        assert_eq!(of("a.txt").format(), None);
        assert_eq!(of("batches/inbox/explain/a.csv").workflow(), Some("explain"));
        assert_eq!(of("batches/inbox/a.csv").workflow(), None);
        assert_eq!(of("else/explain/a.csv").workflow(), None);
    }
}
