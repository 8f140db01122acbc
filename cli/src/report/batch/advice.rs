//! Advises what to do about an error, with the last column of the table in docs/errors.md.

/// The page that explains every error name.
const ERRORS: &str = include_str!("../../../../docs/errors.md");

/// Returns what to do about an error, as the documentation says it. Returns `None` for a name that it does not have.
pub fn of(error: &str) -> Option<String> {
    let start = format!("| `{error}` |");
    let row = ERRORS.lines().find(|line| line.starts_with(&start))?;
    let cell = row.trim_end_matches('|').rsplit('|').next()?.trim();
    // A row that leads to another section has no advice of its own.
    (!cell.starts_with("See [below]")).then(|| plain(cell))
}

/// Removes links and code marks from Markdown.
fn plain(markdown: &str) -> String {
    let mut plain = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((text, after)) = link.split_once("](") else { break };
        let Some((_, after)) = after.split_once(')') else { break };
        plain += before;
        plain += text;
        rest = after;
    }
    (plain + rest).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::base::error::ErrorName;

    #[test]
    fn every_error_has_advice_without_markup() {
        for name in ErrorName::ALL {
            let advice = of(name.as_str());
            assert!(advice.is_some() || *name == ErrorName::TargetRejected, "{name}");
            assert!(!advice.unwrap_or_default().contains(['`', '[', '|']), "{name}");
        }
        assert_eq!(of("Bcce.Unknown"), None);
    }

    #[test]
    fn links_keep_their_text() {
        let text = "ask; [how it is computed](workflows.md#x). `bcce budgets list` shows [it](y).";
        assert_eq!(plain(text), "ask; how it is computed. bcce budgets list shows it.");
    }
}
