//! Checks of names and tags, shared by requests and documents.

use crate::base::error::Problems;
use crate::base::limits::{MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAG_KEY_CHARS};

/// Checks a name and adds a problem at `field` if it is invalid. Names become parts of SSM paths, S3 keys and execution
/// names.
pub fn check_name(problems: &mut Problems, field: &str, name: &str) {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.len());
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let cause = format!("must be 1 to {MAX_NAME_CHARS} letters, digits, '-' or '_'");
    problems.check(fits && plain, field, cause);
}

/// Checks a tag. Its value may be any text, such as a branch name or a title. `call::request_metadata` replaces the
/// characters that the service does not accept when a call is made.
pub(crate) fn check_tag(problems: &mut Problems, key: &str, value: &str) {
    let field = format!("tags.{key}");
    let key_chars = key.chars().count();
    let is_name = (1..=MAX_TAG_KEY_CHARS).contains(&key_chars) && !key.contains(char::is_control);
    let wrong_key =
        format!("its key must be 1 to {MAX_TAG_KEY_CHARS} characters without control characters");
    problems.check(is_name, &field, wrong_key);
    let value_chars = value.chars().count();
    let wrong_value = format!("must be at most {MAX_TAG_CHARS} characters, is {value_chars}");
    problems.check(value_chars <= MAX_TAG_CHARS, &field, wrong_value);
    let is_reserved = ["run_id", "workflow", "step", "item", "tenant"].contains(&key);
    problems.check(!is_reserved, &field, "is set by BCCE itself");
}
