//! Reads rows of CSV (RFC 4180). The first line has the names of the columns.

use std::collections::BTreeMap;

use csv_core::{ReadRecordResult, Reader};
use serde_json::Map;

use crate::base::error::Problems;
use crate::base::limits::MAX_REQUEST_BYTES;
use crate::batch::reader::{Row, text};

/// The most columns that a source may have.
const MAX_COLUMNS: usize = 1_000;

/// The state of reading: the names of the columns, and the row that is being read.
pub(super) struct Csv {
    reader: Reader,
    names: Vec<String>,
    /// The bytes of the row's fields, one after the other. `ends` has the end of each.
    fields: Vec<u8>,
    filled: usize,
    ends: Vec<usize>,
    ended: usize,
    /// True if the row is too long. Its bytes are dropped.
    is_too_long: bool,
    /// The number of quotation marks in the row. An odd number at the end of the source means that one is never closed.
    marks: usize,
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            names: Vec::new(),
            fields: vec![0; 8 * 1_024],
            filled: 0,
            ends: vec![0; MAX_COLUMNS],
            ended: 0,
            is_too_long: false,
            marks: 0,
        }
    }
}

impl Csv {
    pub fn push(&mut self, mut bytes: &[u8], each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        // The parser takes an empty slice for the end of the source.
        while !bytes.is_empty() {
            let read = self.read(bytes, each)?;
            bytes = &bytes[read..];
        }
        Ok(())
    }

    pub fn finish(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        // An empty slice ends a last row that has no line end.
        self.read(&[], each)?;
        if self.names.is_empty() {
            Err(problem("is empty: a CSV begins with the names of its columns"))
        } else {
            Ok(())
        }
    }

    fn read(&mut self, bytes: &[u8], each: &mut dyn FnMut(Row)) -> Result<usize, Problems> {
        let fields = &mut self.fields[self.filled..];
        let ends = &mut self.ends[self.ended..];
        let (result, read, filled, ended) = self.reader.read_record(bytes, fields, ends);
        self.filled += filled;
        self.ended += ended;
        self.marks += bytes[..read].iter().filter(|byte| **byte == b'"').count();
        match result {
            ReadRecordResult::Record => {
                let last = read.checked_sub(1).map(|last| bytes[last]);
                self.take(last, each)?;
            }
            ReadRecordResult::OutputFull if self.fields.len() < MAX_REQUEST_BYTES => {
                let longer = (self.fields.len() * 2).min(MAX_REQUEST_BYTES);
                self.fields.resize(longer, 0);
            }
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                self.is_too_long = true;
                (self.filled, self.ended) = (0, 0);
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        Ok(read)
    }

    /// Handles a complete row. `last` is the byte that ended it, or `None` at the end of the source.
    fn take(&mut self, last: Option<u8>, each: &mut dyn FnMut(Row)) -> Result<(), Problems> {
        let filled = std::mem::take(&mut self.filled);
        let ended = std::mem::take(&mut self.ended);
        let is_too_long = std::mem::take(&mut self.is_too_long);
        let is_open = std::mem::take(&mut self.marks) % 2 == 1 && last.is_none();
        let within = self.fields[..filled].iter().filter(|byte| **byte == b'\n').count() as u64;
        // The parser counts line feeds up to the position that it has reached.
        let line = self.reader.line() - within - u64::from(last == Some(b'\n'));
        if is_open {
            // The rest of the source was read as one field.
            let cause =
                "has a quotation mark that is never closed; the rows after it could not be read";
            each(Row::bad(line, cause));
            return Ok(());
        }
        if is_too_long {
            each(Row::too_long(line));
            return Ok(());
        }
        let mut start = 0;
        let fields: Vec<&[u8]> = self.ends[..ended]
            .iter()
            .map(|end| &self.fields[std::mem::replace(&mut start, *end)..*end])
            .collect();
        if self.names.is_empty() {
            self.names = names(&fields)?
        } else {
            each(row(&self.names, line, &fields))
        }
        Ok(())
    }
}

fn row(names: &[String], line: u64, fields: &[&[u8]]) -> Row {
    if fields.len() != names.len() {
        let plural = if fields.len() == 1 { "" } else { "s" };
        let cause =
            format!("has {} field{plural}, the first line names {}", fields.len(), names.len());
        return Row::bad(line, cause);
    }
    let mut value = Map::new();
    for (n, (name, field)) in names.iter().zip(fields).enumerate() {
        match text(field) {
            Ok(text) => drop(value.insert(name.clone(), text.into())),
            Err(place) => {
                let cause = format!("is not UTF-8, at byte {place} of field {}", n + 1);
                return Row::bad(line, cause);
            }
        }
    }
    Row { line, value: Ok(value) }
}

fn names(fields: &[&[u8]]) -> Result<Vec<String>, Problems> {
    let mut places = BTreeMap::new();
    let mut names = Vec::new();
    for (n, field) in fields.iter().enumerate() {
        let name = text(field).map_err(|_| problem("the names of the columns are not UTF-8"))?;
        let name = name.trim();
        if name.is_empty() {
            return Err(problem(format!("column {} has no name", n + 1)));
        }
        if let Some(before) = places.insert(name.to_owned(), n + 1) {
            return Err(problem(format!("columns {before} and {} have the same name", n + 1)));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn problem(cause: impl Into<String>) -> Problems {
    Problems::one("batch.source", cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_too_many_columns_is_invalid() {
        let mut csv = Csv::default();
        let mut rows = Vec::new();
        let many = vec!["x"; MAX_COLUMNS + 1].join(",");
        let text = format!("a,b\n{many}\n1,2\n");
        csv.push(text.as_bytes(), &mut |row| rows.push(row.value.is_ok())).unwrap();
        csv.finish(&mut |row: Row| panic!("{row:?}")).unwrap();
        assert_eq!(rows, [false, true]);
    }
}
