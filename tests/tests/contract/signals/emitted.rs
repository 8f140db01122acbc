//! The metrics that BCCE emits: each place in the code that makes metrics documents is called here, and what it returns is
//! read as CloudWatch reads it.

mod places;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use places::{PLACES, Place};

/// A metric as CloudWatch bills it, except for the values of the dimensions: its name and its sorted dimensions.
pub type Metric = (String, Vec<String>);

/// The metrics and fields that the documents of all places have.
pub struct Emitted {
    /// The unit of each metric.
    pub units: BTreeMap<Metric, String>,
    /// The members of the documents that each function writes, which its log lines have as fields.
    pub members: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Renders the documents of all places.
pub fn emitted() -> Emitted {
    let mut emitted = Emitted { units: BTreeMap::new(), members: BTreeMap::new() };
    for place in &PLACES {
        let documents = (place.render)();
        assert!(!documents.is_empty(), "{}", place.file);
        for document in documents {
            let document: Value = serde_json::from_str(&document).unwrap();
            emitted.add(place, &document);
        }
    }
    emitted
}

impl Emitted {
    fn add(&mut self, place: &Place, document: &Value) {
        let members = document.as_object().unwrap().keys().filter(|name| *name != "_aws");
        for function in place.functions {
            self.members.entry(function).or_default().extend(members.clone().cloned());
        }
        for directive in document["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(directive["Namespace"], "BCCE", "{}", place.file);
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let names = dimensions.as_array().unwrap().iter().map(text);
                let mut names: Vec<String> = names.collect();
                assert!(names.iter().all(|name| document[name].is_string()), "{document}");
                names.sort();
                for metric in directive["Metrics"].as_array().unwrap() {
                    let (name, unit) = (text(&metric["Name"]), text(&metric["Unit"]));
                    assert!(document[&name].is_number(), "{name} in {document}");
                    let before = self.units.insert((name.clone(), names.clone()), unit.clone());
                    assert!(before.is_none_or(|before| before == unit), "{name} has two units");
                }
            }
        }
    }

    /// Returns the number of metrics for each set of dimensions.
    pub fn by_dimensions(&self) -> BTreeMap<Vec<String>, usize> {
        let mut counts = BTreeMap::new();
        for (_, dimensions) in self.units.keys() {
            *counts.entry(dimensions.clone()).or_default() += 1;
        }
        counts
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
