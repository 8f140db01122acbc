//! Chooses whether the items of a batch are packed: worked off many at a time by one function call, or each in an
//! execution of its own.

use serde::{Deserialize, Serialize};

use crate::config::template::Template;

/// The way in which the items of a batch run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A function call works off a part of the items.
    Packed,
    /// Each item has an execution of the workflow machine.
    #[default]
    Executions,
}

/// Chooses the way of a batch, with the reason.
pub fn choose(template: &Template) -> (Way, String) {
    match template.steps.iter().find(|step| step.list().is_some()) {
        Some(step) => {
            let because = format!(
                "each item has an execution, because step {} fans out over a list",
                step.id
            );
            (Way::Executions, because)
        }
        None => {
            let because =
                "the items are packed, because no step of the workflow fans out".to_owned();
            (Way::Packed, because)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::from_yaml;

    fn way(steps: &str) -> (Way, String) {
        let inputs = "inputs:\n  list: { type: list, required: true }";
        let yaml = format!("version: 1\nname: w\n{inputs}\nsteps:\n{steps}");
        choose(&from_yaml(&yaml).finished().unwrap())
    }

    #[test]
    fn only_a_step_that_fans_out_needs_executions() {
        let one = "- { id: a, model: haiku, prompt: p }\n";
        let two = "- { id: b, needs: [a], model: haiku, prompt: p }\n";
        let each = "- { id: each, for_each: inputs.list, model: haiku, prompt: \"{{ item }}\" }\n";
        assert_eq!(way(one).0, Way::Packed);
        assert_eq!(way(&format!("{one}{two}")).0, Way::Packed);
        let (way, because) = way(&format!("{one}{each}"));
        assert_eq!(way, Way::Executions);
        assert!(because.contains("step each fans out"), "{because}");
    }
}
