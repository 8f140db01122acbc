//! The budgets of the tests. Each applies to the workflow of one test, and the document has them all, after the shipped
//! limits of one run and of one batch.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::stack::Stack;

/// The shipped document. It ends with its budgets, so the tests can add theirs.
const SHIPPED: &str = include_str!("../../../infra/config/dev/budgets.yaml");

/// The budgets by name.
static BUDGETS: LazyLock<tokio::sync::Mutex<BTreeMap<String, String>>> =
    LazyLock::new(tokio::sync::Mutex::default);

/// Adds budgets of a workflow to the document, each with its limit. Functions keep a reading of the configuration of a
/// workflow for seconds, so a test does this before the first run of its workflow.
pub async fn put(stack: &Stack, workflow: &str, window: &str, limits: &[(&str, &str)]) {
    let mut added = BUDGETS.lock().await;
    for (name, limit) in limits {
        let budget =
            format!("{{ scope: workflow, only: [{workflow}], window: {window}, {limit} }}");
        added.insert((*name).to_owned(), budget);
    }
    stack.put_budgets(&with_budgets(&added)).await;
}

/// Returns the shipped document with these budgets, by name.
pub fn with_budgets(added: &BTreeMap<String, String>) -> String {
    let lines: String =
        added.iter().map(|(name, budget)| format!("  {name}: {budget}\n")).collect();
    format!("{SHIPPED}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::config::budgets::Budgets;
    use bcce_core::document::from_yaml;

    #[test]
    fn the_shipped_limits_apply_beside_the_budgets_of_the_tests() {
        let budget = "{ scope: environment, window: day, usd: 1 }";
        let text = with_budgets(&[("added".to_owned(), budget.to_owned())].into());
        let budgets: Budgets = from_yaml(&text).finished().unwrap();
        let names: Vec<&String> = budgets.budgets.keys().collect();
        assert_eq!(names, ["added", "one-batch", "one-run"]);
    }
}
