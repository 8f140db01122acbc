//! The position at which the next page of a list begins.

use std::fmt::{Display, Formatter};

use bcce_aws::dynamodb::listing::ListingKey;
use time::format_description::well_known::Rfc3339;
use time::{Date, OffsetDateTime};

/// The position after a record, or before all records that started at a time or earlier. It is written as
/// `<start>/<partition key>/<sort key>` or `<start>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    started_at: String,
    /// The partition key and the sort key of the last record of the page before.
    after: Option<(String, String)>,
}

impl Cursor {
    /// Returns the position after a record.
    pub fn after(key: &ListingKey) -> Self {
        let after = Some((key.pk.clone(), key.sk.clone()));
        Self { started_at: key.started_at.clone(), after }
    }

    /// Returns the position before all records that started at this time or earlier.
    pub fn at(started_at: &str) -> Self {
        Self { started_at: started_at.to_owned(), after: None }
    }

    /// Returns the start, as a text in RFC 3339.
    pub fn started_at(&self) -> &str {
        &self.started_at
    }

    pub fn day(&self) -> Option<Date> {
        OffsetDateTime::parse(&self.started_at, &Rfc3339).ok().map(OffsetDateTime::date)
    }

    /// Returns true if a record comes after this position.
    pub fn precedes(&self, key: &ListingKey) -> bool {
        match &self.after {
            None => key.started_at <= self.started_at,
            Some((pk, sk)) => (&key.started_at, &key.pk, &key.sk) < (&self.started_at, pk, sk),
        }
    }
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.started_at)?;
        match &self.after {
            Some((pk, sk)) => write!(f, "/{pk}/{sk}"),
            None => Ok(()),
        }
    }
}

/// Parses a cursor that a list has printed.
pub fn parse(given: &str) -> Result<Cursor, String> {
    let parts: Vec<&str> = given.split('/').collect();
    let cursor = match parts[..] {
        [at] => Some(Cursor::at(at)),
        [at, pk, sk] if !pk.is_empty() && !sk.is_empty() => {
            Some(Cursor { started_at: at.into(), after: Some((pk.into(), sk.into())) })
        }
        _ => None,
    };
    let wrong = "must be a cursor that `bcce runs list` or `bcce batch list` printed";
    cursor.filter(|cursor| cursor.day().is_some()).ok_or_else(|| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(started_at: &str, id: &str) -> ListingKey {
        let [pk, sk] = [format!("run#{id}"), "attempt#1".to_owned()];
        ListingKey { started_at: started_at.into(), pk, sk }
    }

    #[test]
    fn a_cursor_reads_back_as_it_was_printed() {
        for cursor in
            [Cursor::after(&key("2026-11-01T12:00:00.5Z", "a")), Cursor::at("2026-11-01T12:00:00Z")]
        {
            assert_eq!(parse(&cursor.to_string()), Ok(cursor));
        }
        for wrong in ["", "7", "2026-11-01", "2026-11-01T12:00:00Z/a", "2026-11-01T12:00:00Z//b"] {
            assert!(parse(wrong).unwrap_err().contains("must be a cursor"), "{wrong}");
        }
    }

    #[test]
    fn a_page_begins_after_the_last_record_of_the_page_before() {
        let at = "2026-11-01T12:00:00Z";
        let after = Cursor::after(&key(at, "b"));
        let kept = |cursor: &Cursor| {
            [("2026-11-01T12:00:01Z", "a"), (at, "c"), (at, "b"), (at, "a"), ("2026-11-01T11", "z")]
                .map(|(at, id)| cursor.precedes(&key(at, id)))
        };
        assert_eq!(kept(&after), [false, false, false, true, true]);
        assert_eq!(kept(&Cursor::at(at)), [false, true, true, true, true]);
    }
}
