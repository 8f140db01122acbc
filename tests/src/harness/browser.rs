//! Opens HTML pages in Chromium.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::cli::ROOT;

/// Opens each page `*.html` of a directory in Chromium and examines it (`tests/browser/open.mjs`, which limits the
/// time). The screenshots are in `.local/reports`.
///
/// # Errors
/// The findings of all pages, or the reason why the browser did not start.
pub fn open(pages: &Path) -> Result<(), String> {
    let script = Path::new(ROOT).join("tests/browser/open.mjs");
    let done = Command::new("node").arg(script).arg(pages).output();
    let done = done.map_err(|error| format!("node does not start: {error}"))?;
    let output = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    if !done.status.success() {
        return Err(output);
    }
    print!("{output}");
    Ok(())
}

/// A group of texts of `tests/browser/hostile.json`.
#[derive(Deserialize)]
struct Group {
    texts: Vec<String>,
}

/// Returns texts that a page must show as they are, and that run a script or load something if they become markup.
pub fn hostile_texts() -> Vec<String> {
    let groups: Vec<Group> =
        serde_json::from_str(include_str!("../../browser/hostile.json")).unwrap();
    groups.into_iter().flat_map(|group| group.texts).collect()
}
