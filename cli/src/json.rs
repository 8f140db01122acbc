//! Prints JSON, and documents its fields in the help.

pub mod records; // the fields of the records of the ledger

use std::io::Write;

use serde::Serialize;

/// A field of an output with its meaning. The name may list several fields: `from, to`.
pub type Field = (&'static str, &'static str);

/// The beginning of the help about JSON. The manual makes a heading of it.
pub const TITLE: &str = "JSON fields";
/// The width of the column of the names, in characters. A longer name pushes its meaning to the right.
const COLUMN: usize = 16;

/// Prints a value as indented JSON.
pub fn print(value: &(impl Serialize + ?Sized), out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)
}

/// Returns the help about the fields of an output. `intro` says in a sentence what is printed.
pub fn fields(intro: &str, lists: &[&[Field]]) -> String {
    let lines = lists.iter().copied().flatten();
    let lines = lines.map(|(name, meaning)| format!("\n  {name:<COLUMN$}  {meaning}"));
    format!("{TITLE}: {intro}{}", lines.collect::<String>())
}

/// Returns the fields of an object that the help does not have.
#[cfg(test)]
pub fn undocumented(value: &serde_json::Value, lists: &[&[Field]]) -> Vec<String> {
    let names = lists.iter().copied().flatten().flat_map(|(names, _)| names.split(", "));
    let names = Vec::from_iter(names);
    let object = value.as_object().expect("an object");
    object.keys().filter(|key| !names.contains(&key.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_listed_below_what_is_printed() {
        let help = fields("The record.", &[&[("a", "first")], &[("b, c", "others")]]);
        let expected =
            "JSON fields: The record.\n  a                 first\n  b, c              others";
        assert_eq!(help, expected);
        let value = serde_json::json!({ "a": 1, "c": 2, "d": 3 });
        assert_eq!(undocumented(&value, &[&[("a", "")], &[("b, c", "")]]), ["d"]);
    }
}
