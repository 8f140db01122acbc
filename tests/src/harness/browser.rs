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

/// Returns a text as the source of a page must have it: markup is escaped, and control characters and bidirectional
/// controls are replaced.
pub fn escaped(text: &str) -> String {
    let escaped = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}'.to_string(),
        c if c.is_control() && !matches!(c, '\n' | '\t') => '\u{fffd}'.to_string(),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
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
