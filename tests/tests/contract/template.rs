//! Reads the templates and other files of the repository as plain data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Returns the root directory of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn template() -> Value {
    template_of("template")
}

/// Reads `infra/<name>.yaml`.
pub fn template_of(name: &str) -> Value {
    let path = format!("infra/{name}.yaml");
    serde_saphyr::from_str(&untagged(&read(&path))).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The templates of the companion stacks.
pub const COMPANIONS: [&str; 3] = ["object-created", "schedule", "tenant"];

pub fn every_template() -> Vec<Value> {
    std::iter::once("template").chain(COMPANIONS).map(template_of).collect()
}

/// The intrinsic functions' short forms (`!Ref X`, `!GetAtt X.Arn`) become their plain arguments: what
/// a name refers to is what these tests ask.
fn untagged(yaml: &str) -> String {
    let tags = [
        "Ref",
        "GetAtt",
        "Sub",
        "If",
        "Not",
        "And",
        "Or",
        "Equals",
        "Join",
        "Condition",
        "ImportValue",
    ];
    tags.iter().fold(yaml.to_owned(), |text, tag| {
        text.replace(&format!("!{tag} "), "").replace(&format!("!{tag}\n"), "\n")
    })
}

/// Returns the folder names of the functions.
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

/// Returns a folder name as the template writes it: `PersistArtifact` for `persist-artifact`.
pub fn camel(name: &str) -> String {
    name.split('-').map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

/// Returns a function's environment variables, including those of all functions.
pub fn variables(template: &Value, function: &str) -> BTreeMap<String, Value> {
    let of = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let own = &template["Resources"][format!("{}Function", camel(function))]["Properties"]["Environment"]
        ["Variables"];
    let all = &template["Globals"]["Function"]["Environment"]["Variables"];
    of(all).into_iter().chain(of(own)).collect()
}
