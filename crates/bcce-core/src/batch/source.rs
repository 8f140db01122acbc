//! Where a manifest lies, and how it is written.

use serde::{Deserialize, Serialize};

/// Objects of the artifact bucket that a batch may be made of: what `bcce batch submit` uploads, and what is dropped.
pub const UPLOADS: &str = "batches/uploads/";
pub const INBOX: &str = "batches/inbox/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// RFC 4180, with a line of names first.
    Csv,
    /// Every object under a prefix is an item.
    Objects,
}

/// `s3://<bucket>/<key>`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub bucket: String,
    /// A prefix where every object under it is meant.
    pub key: String,
}

impl Location {
    /// Parses `s3://<bucket>/<key>`.
    ///
    /// # Errors
    /// Why `uri` is no location.
    pub fn parse(uri: &str) -> Result<Self, String> {
        let rest = uri.strip_prefix("s3://").ok_or("must be s3://<bucket>/<key>")?;
        let (bucket, key) = rest.split_once('/').ok_or("must be s3://<bucket>/<key>")?;
        let fits = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if !fits {
            return Err("has no name of a bucket behind s3://".into());
        }
        // The whole of a bucket is hardly ever what is meant.
        if key.is_empty() {
            return Err("names a bucket and no key".into());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// Derives the format from the name. Returns `None` if the name does not show it.
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

    /// The workflow of an object that was dropped: `batches/inbox/<workflow>/…`.
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
