//! Reads the rows of a batch's source file from its bytes, which arrive in pieces. An invalid row does not affect the
//! others. Only one row is held in memory.

mod csv; // rows with a line of names first
mod lines; // a JSON object on each line

use serde_json::{Map, Value};

use crate::base::error::Problems;
use crate::base::limits::MAX_REQUEST_BYTES;
use crate::batch::source::Format;

/// A row of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line of the source on which the row begins, from 1.
    pub line: u64,
    /// The fields of the row, or its problems. The causes never quote a value.
    pub value: Result<Map<String, Value>, Problems>,
}

impl Row {
    fn bad(line: u64, cause: impl Into<String>) -> Self {
        Self { line, value: Err(Problems::one("line", cause)) }
    }

    fn too_long(line: u64) -> Self {
        Self::bad(line, format!("is longer than {MAX_REQUEST_BYTES} bytes"))
    }
}

/// A reader of the rows of a batch's source file.
pub struct RowReader {
    /// The first bytes, until there are enough of them to detect a byte-order mark.
    head: Option<Vec<u8>>,
    rows: Rows,
}

enum Rows {
    Jsonl(lines::Lines),
    Csv(Box<csv::Csv>),
}

const UTF_8: &[u8] = b"\xef\xbb\xbf";

impl RowReader {
    /// Returns a reader of `format`. Returns `None` for objects, which are listed and not read.
    pub fn new(format: Format) -> Option<Self> {
        let rows = match format {
            Format::Jsonl => Rows::Jsonl(lines::Lines::default()),
            Format::Csv => Rows::Csv(Box::default()),
            Format::Objects => return None,
        };
        Some(Self { head: Some(Vec::new()), rows })
    }

    /// Reads the next bytes. Calls `each` with every row that is complete.
    ///
    /// # Errors
    /// Returns the problem if the source as a whole cannot be read: its encoding, or the names of its columns.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        let Some(head) = &mut self.head else { return self.rows.push(bytes, each) };
        head.extend_from_slice(bytes);
        if head.len() < UTF_8.len() { Ok(()) } else { self.begin(each) }
    }

    /// Ends the source. Calls `each` with the remaining rows.
    ///
    /// # Errors
    /// Returns the same problems as [`RowReader::push`].
    pub fn finish(mut self, each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        self.begin(each)?;
        self.rows.finish(each)
    }

    fn begin(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        let Some(head) = self.head.take() else { return Ok(()) };
        if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
            return Err(Problems::one(
                "batch.source",
                "is UTF-16, by its byte-order mark; it must be UTF-8",
            ));
        }
        if head.starts_with(b"\x1f\x8b") {
            return Err(Problems::one("batch.source", "is compressed by gzip; it must be text"));
        }
        self.rows.push(head.strip_prefix(UTF_8).unwrap_or(&head), each)
    }
}

impl Rows {
    fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        match self {
            Self::Jsonl(lines) => {
                lines.push(bytes, each);
                Ok(())
            }
            Self::Csv(csv) => csv.push(bytes, each),
        }
    }

    fn finish(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        match self {
            Self::Jsonl(lines) => {
                lines.finish(each);
                Ok(())
            }
            Self::Csv(csv) => csv.finish(each),
        }
    }
}

/// Returns the text of a row's bytes.
///
/// # Errors
/// Returns the position, from 1, of the first byte that is not UTF-8.
fn text(bytes: &[u8]) -> Result<&str, usize> {
    std::str::from_utf8(bytes).map_err(|error| error.valid_up_to() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rows as `<line> <JSON or cause>`. Reads them in pieces of every length up to five bytes and as a
    /// whole.
    fn rows(format: Format, bytes: &[u8]) -> Result<Vec<String>, String> {
        let read = |piece: usize| {
            let mut reader = RowReader::new(format).unwrap();
            let mut rows = Vec::new();
            let mut each = |row: Row| {
                let value = row.value.map(|value| Value::Object(value).to_string());
                rows.push(format!("{} {}", row.line, value.unwrap_or_else(|p| p.to_string())));
            };
            for bytes in bytes.chunks(piece) {
                reader.push(bytes, &mut each)?;
            }
            reader.finish(&mut each)?;
            Ok::<_, Problems>(rows)
        };
        let whole = read(usize::MAX).map_err(|problems| problems.to_string());
        for piece in 1..=5 {
            assert_eq!(read(piece).map_err(|p| p.to_string()), whole, "in pieces of {piece} bytes");
        }
        whole
    }

    fn jsonl(text: impl AsRef<[u8]>) -> Vec<String> {
        rows(Format::Jsonl, text.as_ref()).unwrap()
    }

    fn csv(text: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
        rows(Format::Csv, text.as_ref())
    }

    #[test]
    fn each_line_is_an_object_and_blank_ones_are_none() {
        let expected = [r#"1 {"a":1}"#, r#"3 {"a":2}"#, r#"5 {"a":3}"#];
        assert_eq!(jsonl("{\"a\":1}\n\n{\"a\":2}\r\n  \n{\"a\":3}"), expected);
        assert_eq!(jsonl(""), [""; 0]);
        assert_eq!(jsonl("\n\r\n"), [""; 0]);
    }

    #[test]
    fn a_bad_line_is_reported_and_the_others_are_read() {
        let text =
            b"{\"a\":1}\nhunter2\n[1]\n{\"a\":1,\"a\":2}\n{\"a\":\"\xff\"}\n{\"a\":6}\n{\"a\":";
        let rows = jsonl(text);
        let expected = [
            r#"1 {"a":1}"#,
            "2 line: is not JSON: expected value at line 1 column 1",
            "3 line: must be an object",
            "4 line.a: appears twice in the same object",
            "5 line: is not UTF-8, at byte 7",
            r#"6 {"a":6}"#,
        ];
        assert_eq!(rows[..6], expected);
        assert!(rows[6].starts_with("7 line: is not JSON: EOF"), "{}", rows[6]);
    }

    #[test]
    fn a_mark_of_utf_8_is_no_part_of_the_first_row_and_utf_16_is_refused() {
        assert_eq!(jsonl(b"\xef\xbb\xbf{\"a\":1}"), [r#"1 {"a":1}"#]);
        assert_eq!(csv(b"\xef\xbb\xbfa\n1\n"), Ok(vec![r#"2 {"a":"1"}"#.into()]));
        for mark in [b"\xff\xfe{\0", b"\xfe\xff\0{"] {
            let reported = rows(Format::Jsonl, mark).unwrap_err();
            assert!(reported.contains("is UTF-16"), "{reported}");
        }
        assert!(csv(b"\x1f\x8b\x08\x00").unwrap_err().contains("gzip"));
    }

    #[test]
    fn a_line_that_no_message_could_carry_is_passed_over() {
        let long = "x".repeat(MAX_REQUEST_BYTES + 1);
        let read = |format, text: &str| {
            let mut reader = RowReader::new(format).unwrap();
            let mut rows = Vec::new();
            let mut each = |row: Row| rows.push((row.line, row.value.map_err(|p| p.to_string())));
            for bytes in text.as_bytes().chunks(65_536) {
                reader.push(bytes, &mut each).unwrap();
            }
            reader.finish(&mut each).unwrap();
            rows
        };
        let rows = read(Format::Jsonl, &format!("{{}}\n{{\"a\":\"{long}\"}}\n{{}}\n"));
        assert_eq!(rows[1], (2, Err("line: is longer than 1044480 bytes".into())));
        assert_eq!((rows.len(), rows[2].0), (3, 3));
        let rows = read(Format::Csv, &format!("a,b\n1,2\n{long},2\n3,4\n"));
        assert_eq!(rows[1], (3, Err("line: is longer than 1044480 bytes".into())));
        assert_eq!((rows.len(), rows[2].0), (3, 4));
    }

    #[test]
    fn a_row_is_reported_by_the_line_it_begins_on() {
        let text = "id,text\n1,\"two\nlines\"\n\n2,\"a \"\"quoted\"\" word\"\r\n3,last";
        let expected = [
            r#"2 {"id":"1","text":"two\nlines"}"#,
            r#"5 {"id":"2","text":"a \"quoted\" word"}"#,
            r#"6 {"id":"3","text":"last"}"#,
        ];
        assert_eq!(csv(text).unwrap(), expected);
    }

    #[test]
    fn a_ragged_row_is_bad_and_the_others_are_read() {
        let rows = csv(b"a,b\n1\n1,2\n1,2,3\n\xff,2\n4,5\n").unwrap();
        let expected = [
            "2 line: has 1 field, the first line names 2",
            r#"3 {"a":"1","b":"2"}"#,
            "4 line: has 3 fields, the first line names 2",
            "5 line: is not UTF-8, at byte 1 of field 1",
            r#"6 {"a":"4","b":"5"}"#,
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_mark_that_is_never_closed_makes_no_item_of_what_is_behind_it() {
        let rows = csv("a,b\n1,2\n3,\"never\n4,5\n6,7").unwrap();
        let cause = "3 line: has a quotation mark that is never closed; the rows after it could not be read";
        assert_eq!(rows, [r#"2 {"a":"1","b":"2"}"#, cause]);
        assert_eq!(csv("a,b\n1,\"2\"").unwrap(), [r#"2 {"a":"1","b":"2"}"#]);
    }

    #[test]
    fn columns_without_unique_names_make_the_source_invalid() {
        assert_eq!(csv("a,,b\n1,2,3\n").unwrap_err(), "batch.source: column 2 has no name");
        assert_eq!(
            csv("a,b,a\n1,2,3\n").unwrap_err(),
            "batch.source: columns 1 and 3 have the same name"
        );
        assert_eq!(
            csv(b"a,\xff\n").unwrap_err(),
            "batch.source: the names of the columns are not UTF-8"
        );
        assert_eq!(
            csv("").unwrap_err(),
            "batch.source: is empty: a CSV begins with the names of its columns"
        );
    }
}
