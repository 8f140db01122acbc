//! Summarizes a diff: its files, functions and numbers of lines.

use super::diff::{Change, Diff, File};

/// The largest number of files in a summary. The summary counts the others.
const MAX_FILES: usize = 40;
/// The largest number of functions that are named for a file.
const MAX_FUNCTIONS: usize = 8;

/// Returns the summary.
pub fn of(diff: &Diff) -> String {
    let added = diff.added().count();
    let removed: usize = diff.files.iter().map(|file| file.removed().count()).sum();
    let files = count(diff.files.len(), "file");
    let lines = count(added, "line");
    let mut text = format!(
        "## Summary by the scripted model\n\n{files} changed, {lines} added, {removed} removed.\n\n"
    );
    for file in diff.files.iter().take(MAX_FILES) {
        text += &format!("- {}\n", about(file));
    }
    if let Some(more) = diff.files.len().checked_sub(MAX_FILES + 1) {
        text += &format!("- and {} more\n", more + 1);
    }
    text
}

/// Returns a number with its noun in the singular or plural.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn about(file: &File) -> String {
    let change = match &file.change {
        Change::Modified => "changed".to_owned(),
        Change::Added => "new".to_owned(),
        Change::Deleted => "deleted".to_owned(),
        Change::RenamedFrom(old) => format!("was `{old}`"),
    };
    let (added, removed) = (file.added().count(), file.removed().count());
    let names = functions(file);
    let functions = if names.is_empty() { String::new() } else { format!(": {names}") };
    format!("`{}` ({change}, +{added} -{removed}){functions}", file.path)
}

fn functions(file: &File) -> String {
    let mut names: Vec<&str> = Vec::new();
    let spoken = file.lines.iter().filter(|line| !line.text.trim().is_empty());
    for name in spoken.filter_map(|line| line.function.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let shown: Vec<String> =
        names.iter().take(MAX_FUNCTIONS).map(|name| format!("`{name}`")).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::answer::review::tests::SMALL;

    #[test]
    fn files_lines_and_functions_are_counted_and_named() {
        let expected = "\
## Summary by the scripted model

5 files changed, 11 lines added, 4 removed.

- `docs/old.md` (deleted, +0 -1)
- `infra/role.yaml` (changed, +1 -1)
- `release.sh` (was `deploy.sh`, +1 -0)
- `settings.py` (new, +1 -0)
- `src/orders.rs` (changed, +8 -2): `count`, `first`, `nothing_ordered_is_zero`
";
        assert_eq!(of(&Diff::parse(SMALL)), expected);
    }

    #[test]
    fn a_long_list_is_cut_and_counts_the_rest() {
        let file = |n: usize| format!("diff --git a/f{n} b/f{n}\n");
        let files = |number: usize| of(&Diff::parse(&(0..number).map(file).collect::<String>()));
        assert!(!files(MAX_FILES).contains("more"));
        assert!(files(MAX_FILES + 2).contains("- and 2 more"));
    }
}
