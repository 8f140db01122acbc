//! Reads a Cost and Usage Report 2.0: CSV, CSV in gzip, or Parquet. Only the columns that are needed are kept, and rows
//! are read one at a time, because a report of a large account has millions of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use rust_decimal::Decimal;

/// The columns that a report must have.
const REQUIRED: [&str; 6] = [
    "line_item_line_item_type",
    "line_item_product_code",
    "line_item_unblended_cost",
    "line_item_usage_account_id",
    "line_item_usage_amount",
    "line_item_usage_start_date",
];
/// The column with the usage type, whose name tells this report from older ones.
const USAGE_TYPE: &str = "line_item_usage_type";
/// The columns that help if the report has them.
const OPTIONAL: [&str; 5] = [
    "line_item_iam_principal",
    "line_item_resource_id",
    "pricing_unit",
    "product_region_code",
    "product",
];
/// The column of the usage type in reports before CUR 2.0.
const OLD: &str = "lineItem/UsageType";

/// A row of the report. A column that the report does not have is empty.
#[derive(Clone, Debug, Default)]
pub struct Line {
    columns: BTreeMap<&'static str, String>,
}

impl Line {
    /// Returns the value of a column.
    pub fn get(&self, column: &str) -> &str {
        self.columns.get(column).map_or("", String::as_str)
    }

    pub fn usage_type(&self) -> &str {
        self.get(USAGE_TYPE)
    }

    /// Returns a number.
    ///
    /// # Errors
    /// A message if the column is not a number.
    pub fn number(&self, column: &str) -> Result<Decimal, String> {
        let text = self.get(column);
        let number = text.parse().or_else(|_| Decimal::from_scientific(text));
        number.map_err(|_| format!("{column} is `{text}`, which is not a number"))
    }
}

/// Reads the rows of a report, and calls `each` for each row.
///
/// # Errors
/// A message that names the row and the column. The file cannot be read, is not a report, is one of an older schema, or
/// is truncated.
pub fn read(path: &Path, each: &mut dyn FnMut(Line) -> Result<(), String>) -> Result<(), String> {
    let unread = |error: std::io::Error| format!("cannot be read: {error}");
    let mut start = [0; 4];
    let mut file = File::open(path).map_err(unread)?;
    let length = file.read(&mut start).map_err(unread)?;
    let file = File::open(path).map_err(unread)?;
    match &start[..length] {
        b"PAR1" => parquet_rows(file, each),
        [0x1f, 0x8b, ..] => csv_rows(MultiGzDecoder::new(BufReader::new(file)), each),
        [] => Err("is empty".to_owned()),
        _ => csv_rows(BufReader::new(file), each),
    }
}

/// Returns the wanted columns that a report has, by their position.
fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<(usize, &'static str)>, String> {
    let names: Vec<&str> = names.collect();
    let place =
        |column: &'static str| Some((names.iter().position(|name| *name == column)?, column));
    let Some(usage_type) = place(USAGE_TYPE) else {
        return Err(if names.contains(&OLD) {
            "is a legacy Cost and Usage Report; export the table COST_AND_USAGE_REPORT (CUR 2.0) in Data Exports".into()
        } else {
            format!(
                "has no column {USAGE_TYPE}; expected a Cost and Usage Report 2.0 of Data Exports"
            )
        });
    };
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|column| !names.contains(column)).collect();
    if !missing.is_empty() {
        return Err(format!("lacks the columns {}; add them to the export", missing.join(", ")));
    }
    let further = REQUIRED.into_iter().chain(OPTIONAL).filter_map(place);
    Ok(std::iter::once(usage_type).chain(further).collect())
}

fn csv_rows(
    input: impl Read,
    each: &mut dyn FnMut(Line) -> Result<(), String>,
) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(input);
    let head = reader.headers().map_err(|error| csv_fault(&error))?.clone();
    let columns = columns(head.iter())?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| csv_fault(&error))? {
        let value = |(at, name): &(usize, &'static str)| Some((*name, record.get(*at)?.to_owned()));
        let line = Line { columns: columns.iter().filter_map(value).collect() };
        let at = record.position().map_or(0, csv::Position::line);
        each(line).map_err(|cause| format!("line {at}: {cause}"))?;
    }
    Ok(())
}

fn csv_fault(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!(
                "line {line} has {len} fields instead of {expected_len}; the file is truncated or damaged"
            )
        }
        csv::ErrorKind::Io(error) => {
            format!("cannot be read to its end: {error}; the file is truncated or damaged")
        }
        _ => format!("is not CSV: {error}"),
    }
}

fn parquet_rows(
    file: File,
    each: &mut dyn FnMut(Line) -> Result<(), String>,
) -> Result<(), String> {
    let damaged =
        |error| format!("is not a whole Parquet file: {error}; the file is truncated or damaged");
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let schema = reader.metadata().file_metadata().schema();
    let names: Vec<String> =
        schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
    let columns = columns(names.iter().map(String::as_str))?;
    for (n, row) in reader.get_row_iter(None).map_err(damaged)?.enumerate() {
        let row = row.map_err(damaged)?;
        let mut line = Line::default();
        for (name, value) in row.get_column_iter() {
            if let Some((_, column)) = columns.iter().find(|(_, column)| column == name) {
                line.columns.insert(column, text(value));
            }
        }
        each(line).map_err(|cause| format!("row {}: {cause}", n + 1))?;
    }
    Ok(())
}

/// Returns the text of a value. A map is written as its entries, like in CSV.
fn text(value: &Field) -> String {
    match value {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::TimestampMillis(at) => timestamp(i128::from(*at) * 1_000_000),
        Field::TimestampMicros(at) => timestamp(i128::from(*at) * 1_000),
        other => other.to_string(),
    }
}

fn timestamp(nanoseconds: i128) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
        .map(|at| at.date().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
pub mod tests;
