use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Shop {
    name: String,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    goods: Vec<Good>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Good {
    id: String,
    price: u32,
    kind: Kind,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Tea,
    Coffee,
}

impl Document for Shop {
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        problems.check(self.name.len() > 2, "name", "must be longer");
        for good in &self.goods {
            problems.check(good.price > 0, format!("goods.{}.price", good.id), "must be above 0");
            problems.check(good.id.len() > 2, format!("goods.{}.id", good.id), "must be longer");
        }
        problems
    }
}

fn reported(yaml: &str) -> Vec<String> {
    let draft = from_yaml::<Shop>(yaml);
    let mut reported: Vec<String> = draft.problems.iter().map(ToString::to_string).collect();
    reported.sort();
    reported
}

#[test]
fn faults_of_shape_and_of_sense_are_reported_in_one_look() {
    let yaml = "nam: x\nopen: hunter2\ngoods:\n- { id: green, price: hunter2, kind: tea }\n- { id: black, price: 0, kind: te }\n- { price: 0, kind: tea }\n- hunter2\n";
    let expected = [
        "goods.black.kind: must be one of: tea, coffee",
        "goods.black.price: must be above 0",
        "goods.green.price: must be a whole number, 0 or more",
        "goods[2].id: is missing",
        "goods[3]: must be an object",
        "nam: is unknown; there are: name, open, goods; did you mean name?",
        "name: is missing",
        "open: must be true or false",
    ];
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(reported(yaml), expected);
}

#[test]
fn a_root_of_the_wrong_kind_is_reported_and_nothing_else() {
    for yaml in ["7", "[]", "null", "text"] {
        assert_eq!(reported(yaml), ["document: must be an object"], "{yaml}");
    }
}

#[test]
fn only_a_right_document_is_finished() {
    assert!(from_yaml::<Shop>("name: x").finished().is_err());
    let shop = Shop { name: "corner".into(), open: true, goods: vec![] };
    assert_eq!(from_yaml("name: corner\nopen: true\n").finished(), Ok(shop));
}

#[test]
fn what_is_no_yaml_is_reported_with_its_place() {
    assert!(reported("name: [")[0].starts_with("document: line 1"), "{:?}", reported("name: ["));
    assert!(reported("a: 1\na: 2\n")[0].contains("duplicate"), "{:?}", reported("a: 1\na: 2\n"));
    let long = format!("name: {}", "x".repeat(MAX_DOCUMENT_BYTES));
    assert!(reported(&long)[0].contains("(limit: 262144)"));
}

#[test]
fn a_document_with_very_many_faults_still_ends() {
    let goods = "- { id: 7, price: x, kind: y, more: z }\n".repeat(2_000);
    let draft = from_yaml::<Shop>(&format!("name: corner\ngoods:\n{goods}"));
    assert!(draft.value.is_none());
    assert_eq!(draft.problems.iter().count(), MOST_FAULTS);
}

#[test]
fn json_is_read_as_serde_json_reads_it() {
    let text = r#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":18446744073709551615}}"#;
    let (tree, repeated) = tree::read(text).unwrap();
    assert_eq!(tree, serde_json::from_str::<Value>(text).unwrap());
    assert!(repeated.is_empty());
    let (tree, repeated) = tree::read(r#"{"a":{"b":1,"b":2}}"#).unwrap();
    assert_eq!(tree, json!({ "a": { "b": 1 } }));
    assert_eq!(repeated.to_string(), "a.b: appears twice in the same object");
    let deep = "[".repeat(200);
    assert!(tree::read(&deep).unwrap_err().contains("recursion limit"));
}

/// Each fault holds its path, so without limits a message of 1 MiB could take any amount of memory.
#[test]
fn long_keys_and_many_faults_are_reported_within_bounds() {
    let key = "k".repeat(10_000);
    let twice = vec!["\"a\":0"; 1_000].join(",");
    let (_, repeated) = tree::read(&format!(r#"{{"{key}":[[{{{twice}}}]]}}"#)).unwrap();
    assert_eq!(repeated.iter().count(), MOST_FAULTS);
    assert!(repeated.iter().all(|problem| problem.field.len() <= 200));
}
