//! Reads the templates and other files of the repository as plain data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Returns the root directory of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the main template with the resources of its nested templates, as if all of them stood in one file.
///
/// A parameter of a nested template is replaced by what the main template passes, and an output of a nested stack by
/// what it stands for.
pub fn template() -> Value {
    let mut main = template_of("template");
    let mut outputs = Map::new();
    for (stack, nested) in nested(&main) {
        let resources = main["Resources"].as_object_mut().unwrap();
        resources.remove(&stack);
        for (name, resource) in nested.template["Resources"].as_object().unwrap() {
            let before = resources.insert(name.clone(), replaced(resource, &nested.parameters));
            assert!(
                before.is_none(),
                "two templates have a {name}, of which one would not be seen"
            );
        }
        for (name, output) in nested.template["Outputs"].as_object().into_iter().flatten() {
            let value = replaced(&output["Value"], &nested.parameters);
            outputs.insert(format!("{stack}.Outputs.{name}"), value);
        }
    }
    replaced(&main, &outputs)
}

/// A template that the main template nests.
pub struct Nested {
    /// The name of the file, `infra/<name>.yaml`.
    pub name: String,
    pub template: Value,
    /// The values that the main template passes, by the name of the parameter.
    pub parameters: Map<String, Value>,
}

/// Returns the nested templates of the main one, by the logical name of their stack.
pub fn nested(main: &Value) -> BTreeMap<String, Nested> {
    let resources = main["Resources"].as_object().unwrap().iter();
    let stacks = resources.filter(|(_, it)| it["Type"] == "AWS::CloudFormation::Stack");
    let nested = stacks.map(|(stack, it)| {
        let file = it["Properties"]["TemplateURL"].as_str().unwrap();
        let name = file.strip_suffix(".yaml").unwrap().to_owned();
        let parameters = it["Properties"]["Parameters"].as_object().unwrap().clone();
        (stack.clone(), Nested { template: template_of(&name), name, parameters })
    });
    nested.collect()
}

/// Replaces each reference to one of the names: a text that is the name, and `${<name>}` in a text.
fn replaced(value: &Value, by: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => by.get(text).cloned().unwrap_or_else(|| filled(text, by)),
        Value::Array(values) => values.iter().map(|it| replaced(it, by)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, it)| (name.clone(), replaced(it, by))).collect()
        }
        other => other.clone(),
    }
}

fn filled(text: &str, by: &Map<String, Value>) -> Value {
    let fill = |text: String, (name, value): (&String, &Value)| {
        let placeholder = format!("${{{name}}}");
        if !text.contains(&placeholder) {
            return text;
        }
        let value = value.as_str().unwrap_or_else(|| panic!("{name} is no text in {text}"));
        text.replace(&placeholder, &format!("${{{value}}}"))
    };
    Value::String(by.iter().fold(text.to_owned(), fill))
}

/// Reads `infra/<name>.yaml`.
pub fn template_of(name: &str) -> Value {
    let path = format!("infra/{name}.yaml");
    serde_saphyr::from_str(&untagged(&read(&path))).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The templates of the companion stacks.
pub const COMPANIONS: [&str; 4] = ["object-created", "observability", "schedule", "tenant"];

/// Returns the main template, with its nested ones, and the companions.
pub fn every_template() -> Vec<Value> {
    std::iter::once(template()).chain(COMPANIONS.map(template_of)).collect()
}

/// Replaces the short forms of intrinsic functions (`!Ref X`, `!GetAtt X.Arn`) by their arguments, since these tests only
/// ask for the names.
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
