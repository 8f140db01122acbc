//! The SAM template and the other files of the repository, as plain data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn template() -> Value {
    serde_saphyr::from_str(&untagged(&read("infra/template.yaml"))).expect("infra/template.yaml")
}

/// The intrinsic functions' short forms (`!Ref X`, `!GetAtt X.Arn`) become their plain arguments: what
/// a name refers to is what these tests ask.
fn untagged(yaml: &str) -> String {
    ["!Ref ", "!GetAtt ", "!Sub ", "!If ", "!Not ", "!Equals "]
        .iter()
        .fold(yaml.to_owned(), |text, tag| text.replace(tag, ""))
        .replace("!If\n", "\n")
}

/// Folder names of the functions.
pub fn functions() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("functions"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// `persist-artifact` -> `PersistArtifact`
pub fn camel(name: &str) -> String {
    name.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

/// A function's environment variables, those of all functions included.
pub fn variables(template: &Value, function: &str) -> BTreeMap<String, Value> {
    let of = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let own = &template["Resources"][format!("{}Function", camel(function))]["Properties"]["Environment"]
        ["Variables"];
    let all = &template["Globals"]["Function"]["Environment"]["Variables"];
    of(all).into_iter().chain(of(own)).collect()
}
