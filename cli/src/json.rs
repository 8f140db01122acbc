//! Prints JSON, and documents its fields in the help.

use std::io::Write;

use serde::Serialize;

/// A field of an output with its meaning.
pub type Field = (&'static str, &'static str);

/// The beginning of the help about JSON. The pages of docs/reference make a heading of it.
pub const TITLE: &str = "Fields of JSON";
/// The width of the column of the names, in characters. A longer name pushes its meaning to the right.
const COLUMN: usize = 18;

/// Prints a value as indented JSON.
pub fn print(value: &(impl Serialize + ?Sized), out: &mut dyn Write) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    writeln!(out, "{text}")
}

/// Returns the help about the fields of an output. `intro` is a sentence that says what is printed.
pub fn fields(intro: &str, lists: &[&[Field]]) -> String {
    let lines = lists.iter().copied().flatten();
    let lines = lines.map(|(name, meaning)| format!("\n  {name:<COLUMN$}  {meaning}"));
    format!("{TITLE}: {intro}{}", lines.collect::<String>())
}
