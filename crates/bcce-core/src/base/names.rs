//! The forms that names and tags have, wherever they are written.

use crate::base::error::Problems;
use crate::base::limits::{MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAG_KEY_CHARS};

/// Names become SSM paths, S3 keys and execution names.
pub fn check_name(problems: &mut Problems, field: &str, name: &str) {
    let fits = (1..=MAX_NAME_CHARS).contains(&name.len());
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let cause = format!("must be 1 to {MAX_NAME_CHARS} letters, digits, '-' or '_'");
    problems.check(fits && plain, field, cause);
}

/// A tag holds whatever text a sender has: a branch name, a title. What of it a service does not take is replaced on
/// its way there, see `call::metadata`.
pub(crate) fn check_tag(problems: &mut Problems, key: &str, value: &str) {
    let length = key.chars().count();
    let is_name = (1..=MAX_TAG_KEY_CHARS).contains(&length) && !key.contains(char::is_control);
    let cause =
        format!("its key must be 1 to {MAX_TAG_KEY_CHARS} characters without control characters");
    problems.check(is_name, format!("tags.{key}"), cause);
    let length = value.chars().count();
    let cause = format!("must be at most {MAX_TAG_CHARS} characters, is {length}");
    problems.check(length <= MAX_TAG_CHARS, format!("tags.{key}"), cause);
    let ours = ["run_id", "workflow", "step", "item", "tenant"].contains(&key);
    problems.check(!ours, format!("tags.{key}"), "is set by BCCE itself");
}
