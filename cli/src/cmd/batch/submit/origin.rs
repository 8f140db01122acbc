//! Parses the source of a batch: a local file, an object, or all objects below a prefix.

use std::path::{Path, PathBuf};

use bcce_core::base::error::Problems;
use bcce_core::batch::source::{INBOX, UPLOADS};
use bcce_core::batch::{Format, Location};

/// The source of the items of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    File(PathBuf),
    Object(Location),
    Prefix(Location),
}

impl Origin {
    /// Parses a source and determines its format, from `format` or from the name.
    ///
    /// # Errors
    /// The format is unknown, the source is a directory, or the URI is invalid.
    pub fn parse(source: &str, format: Option<Format>) -> Result<(Self, Format), Problems> {
        let problem = |field: &str, cause: &str| Err(Problems::one(field, cause));
        let unknown = "cannot be derived from the name; set --format to jsonl, csv or objects";
        if !source.starts_with("s3://") {
            // The name of a file shows its format, as the key of an object does.
            let name = Location { bucket: String::new(), key: source.to_owned() };
            return match format.or_else(|| name.format()) {
                None => problem("format", unknown),
                Some(Format::Objects) => {
                    problem("source", "is a directory; use a file, or an s3:// prefix for objects")
                }
                Some(format) => Ok((Self::File(source.into()), format)),
            };
        }
        let location = Location::parse(source).map_err(|cause| Problems::one("source", cause))?;
        match format.or_else(|| location.format()) {
            None => problem("format", unknown),
            Some(Format::Objects) => Ok((Self::Prefix(location), Format::Objects)),
            Some(format) => Ok((Self::Object(location), format)),
        }
    }

    /// Returns the name of the source without its ending, for an id.
    pub fn stem(&self) -> String {
        let name = match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Object(location) | Self::Prefix(location) => {
                location.key.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
            }
        };
        let stem = Path::new(&name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        stem.filter(|_| !matches!(self, Self::Prefix(_))).unwrap_or(name)
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Object(location) | Self::Prefix(location) => write!(f, "{location}"),
        }
    }
}

/// Returns true if the stack can read an object in place, because it is in one of two folders of the stack's bucket.
pub fn is_taken_as_it_is(location: &Location, bucket: &str) -> bool {
    location.bucket == bucket && [INBOX, UPLOADS].iter().any(|at| location.key.starts_with(at))
}

/// Returns the location of an upload. The ending of the key shows the format.
pub fn upload(bucket: &str, name: &str, format: Format) -> Location {
    let ending = if format == Format::Csv { "csv" } else { "jsonl" };
    Location { bucket: bucket.to_owned(), key: format!("{UPLOADS}{name}.{ending}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(source: &str, format: Option<Format>) -> Result<(Origin, Format), String> {
        Origin::parse(source, format).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_source_is_a_file_an_object_or_a_prefix() {
        let (file, format) = parsed("a/calls.2026.CSV", None).unwrap();
        assert_eq!((file.stem().as_str(), format), ("calls.2026", Format::Csv));
        let (object, format) = parsed("s3://bucket/x/calls.jsonl", None).unwrap();
        assert_eq!((object.stem().as_str(), format), ("calls", Format::Jsonl));
        let (prefix, format) = parsed("s3://bucket/docs/v1.2/", None).unwrap();
        assert_eq!((prefix.stem().as_str(), format), ("v1.2", Format::Objects));
        assert!(matches!(prefix, Origin::Prefix(_)));
        let (named, _) = parsed("calls", Some(Format::Jsonl)).unwrap();
        assert_eq!(named, Origin::File("calls".into()));
        assert!(parsed("calls.txt", None).unwrap_err().starts_with("format: cannot be derived"));
        assert!(parsed("docs/", None).unwrap_err().starts_with("source: is a directory"));
        assert!(parsed("s3://bucket", None).unwrap_err().starts_with("source: must be s3://"));
    }

    #[test]
    fn what_lies_where_the_stack_reads_is_taken_as_it_is() {
        let of = |uri: &str| is_taken_as_it_is(&Location::parse(uri).unwrap(), "mine");
        assert!(of("s3://mine/batches/inbox/explain/a.csv") && of("s3://mine/batches/uploads/a"));
        assert!(!of("s3://theirs/batches/uploads/a") && !of("s3://mine/runs/a.jsonl"));
        let uploaded = upload("mine", "digest", Format::Csv);
        assert_eq!(uploaded.to_string(), "s3://mine/batches/uploads/digest.csv");
        assert_eq!(uploaded.format(), Some(Format::Csv));
    }
}
