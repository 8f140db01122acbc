use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::basic::Compression as Codec;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

/// A report with two lines of Bedrock and one of another service.
pub const CSV: &str = "\
bill_payer_account_id,line_item_iam_principal,line_item_line_item_type,line_item_product_code,line_item_unblended_cost,line_item_usage_account_id,line_item_usage_amount,line_item_usage_start_date,line_item_usage_type,pricing_unit,product,product_region_code
9,arn:aws:sts::111122223333:assumed-role/bcce-dev-InvokeRole-1/bcce-dev-invoke,Usage,AmazonBedrock,0.11,111122223333,1000,2026-11-01T00:00:00.000Z,USE1-Claude5.5Haiku-input-tokens,1K tokens,{},us-east-1
9,arn:aws:sts::111122223333:assumed-role/bcce-dev-InvokeRole-1/bcce-dev-invoke,Usage,AmazonBedrock,2.5E-7,111122223333,0.001,2026-11-01T00:00:00.000Z,USE1-Claude5.5Haiku-output-tokens,1K tokens,{},us-east-1
9,,Usage,AmazonEC2,7,111122223333,1,2026-11-01T00:00:00.000Z,USE1-BoxUsage,Hrs,{},us-east-1
";

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let name =
        format!("bcce-report-{}-{:?}-{name}", std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Reads a report, and returns the usage type, the amount, the cost and the day of each line.
fn read_back(bytes: &[u8]) -> Result<Vec<[String; 4]>, String> {
    let path = file("a", bytes);
    let mut lines = Vec::new();
    let result = read(&path, &mut |line| {
        let number = |column| line.number(column).map(|number| number.normalize().to_string());
        let day = line.get("line_item_usage_start_date")[..10].to_owned();
        lines.push([
            line.usage_type().to_owned(),
            number("line_item_usage_amount")?,
            number("line_item_unblended_cost")?,
            day,
        ]);
        Ok(())
    });
    std::fs::remove_file(path).unwrap();
    result.map(|()| lines)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes the rows of a CSV as Data Exports writes Parquet: texts, doubles and a timestamp, compressed with Snappy.
pub fn parquet(csv: &str) -> Vec<u8> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let head: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let is_number =
        |name: &str| ["line_item_unblended_cost", "line_item_usage_amount"].contains(&name);
    let is_time = |name: &str| name == "line_item_usage_start_date";
    let field = |name: &String| match () {
        () if is_number(name) => format!("optional double {name};"),
        () if is_time(name) => format!("optional int64 {name} (TIMESTAMP(MILLIS,true));"),
        () => format!("optional binary {name} (STRING);"),
    };
    let fields: Vec<String> = head.iter().map(field).collect();
    let schema = parse_message_type(&format!("message report {{ {} }}", fields.join(" "))).unwrap();
    let properties = WriterProperties::builder().set_compression(Codec::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (n, name) in head.iter().enumerate() {
        let mut column = group.next_column().unwrap().unwrap();
        let levels = vec![1; rows.len()];
        let cells = rows.iter().map(|row| &row[n]);
        if is_number(name) {
            let values: Vec<f64> = cells.map(|cell| cell.parse().unwrap()).collect();
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None).unwrap();
        } else if is_time(name) {
            let millis = |cell: &str| {
                let format = &time::format_description::well_known::Rfc3339;
                time::OffsetDateTime::parse(cell, format).unwrap().unix_timestamp() * 1_000
            };
            let values: Vec<i64> = cells.map(millis).collect();
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None).unwrap();
        } else {
            let values: Vec<ByteArray> = cells.map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn each_form_of_a_report_has_the_same_lines() {
    let expected = [
        ["USE1-Claude5.5Haiku-input-tokens", "1000", "0.11", "2026-11-01"],
        ["USE1-Claude5.5Haiku-output-tokens", "0.001", "0.00000025", "2026-11-01"],
        ["USE1-BoxUsage", "1", "7", "2026-11-01"],
    ];
    for bytes in [CSV.as_bytes().to_vec(), gzip(CSV.as_bytes()), parquet(CSV)] {
        assert_eq!(read_back(&bytes).unwrap(), expected);
    }
}

#[test]
fn a_truncated_report_is_not_read_as_a_whole_one() {
    let cut = |bytes: &[u8], left: usize| read_back(&bytes[..bytes.len() - left]).unwrap_err();
    let csv = cut(CSV.as_bytes(), 20);
    assert!(csv.starts_with("line 4 has 9 fields instead of 12; the file is truncated"), "{csv}");
    let gzip = cut(&gzip(CSV.as_bytes()), 20);
    assert!(gzip.contains("the file is truncated or damaged"), "{gzip}");
    let parquet = cut(&parquet(CSV), 100);
    assert!(parquet.contains("is not a whole Parquet file"), "{parquet}");
    assert_eq!(read_back(b"").unwrap_err(), "is empty");
}

#[test]
fn a_file_that_is_no_report_or_an_old_one_is_refused() {
    for (text, expected) in [
        (
            "identity/LineItemId,lineItem/UsageType\n1,2\n",
            "is a legacy Cost and Usage Report; export the table",
        ),
        ("a,b\n1,2\n", "has no column line_item_usage_type"),
        (
            "line_item_usage_type,line_item_usage_amount\nx,1\n",
            "lacks the columns line_item_line_item_type, ",
        ),
        ("{\"a\": 1}", "has no column line_item_usage_type"),
    ] {
        let cause = read_back(text.as_bytes()).unwrap_err();
        assert!(cause.starts_with(expected), "{text}: {cause}");
    }
    let wrong = CSV.replacen(",0.11,", ",eleven cents,", 1);
    let cause = read_back(wrong.as_bytes()).unwrap_err();
    assert_eq!(cause, "line 2: line_item_unblended_cost is `eleven cents`, which is not a number");
    let path = std::env::temp_dir().join("no-such-report.csv");
    assert!(read(&path, &mut |_| Ok(())).unwrap_err().starts_with("cannot be read: "));
}
