//! Reads files as text. Errors do not quote the content.

use std::path::Path;

/// Reads a file as text.
///
/// # Errors
/// The file cannot be read or is not UTF-8. The message is written to follow the name of the file.
pub fn text(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("is not UTF-8, see line {line}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_reported_by_its_line() {
        let path = std::env::temp_dir().join(format!("bcce-files-{}", std::process::id()));
        std::fs::write(&path, b"one\ntwo \xff\n").unwrap();
        let result = text(&path);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(result, Err("is not UTF-8, see line 2".into()));
        assert!(text(&path).unwrap_err().starts_with("cannot be read: No such file"));
    }
}
