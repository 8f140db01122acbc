//! The budgets of the tests. Each applies to the workflow of one test, and the document has them all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::stack::Stack;

/// The budgets by name.
static BUDGETS: LazyLock<tokio::sync::Mutex<BTreeMap<String, String>>> =
    LazyLock::new(tokio::sync::Mutex::default);

/// Adds budgets of a workflow to the document, each with its limit. Functions keep a reading of the configuration of a
/// workflow for seconds, so a test does this before the first run of its workflow.
pub async fn put(stack: &Stack, workflow: &str, window: &str, limits: &[(&str, &str)]) {
    let mut budgets = BUDGETS.lock().await;
    for (name, limit) in limits {
        let budget =
            format!("{{ scope: workflow, only: [{workflow}], window: {window}, {limit} }}");
        budgets.insert((*name).to_owned(), budget);
    }
    let lines: String =
        budgets.iter().map(|(name, budget)| format!("  {name}: {budget}\n")).collect();
    stack.put_budgets(&format!("version: 1\nbudgets:\n{lines}")).await;
}
