//! Builds `requestMetadata` from tags, in the characters that Converse accepts. The manifest and the ledger have the
//! unchanged tags.
//!
//! A tag may be any text, such as a branch name or a title, but the service refuses a call for one invalid character.
//! Therefore this module replaces the characters that the service does not accept, and cuts texts that are too long.

use std::collections::BTreeMap;

use crate::base::limits::{MAX_METADATA_CHARS, MAX_TAGS};

/// The replacement for a character that the service does not accept.
const INSTEAD: char = '_';

/// Returns the `requestMetadata` with `entries`, which BCCE sets, and `tags`. A tag never replaces one of `entries`.
pub fn request_metadata(
    tags: &BTreeMap<String, String>,
    entries: impl IntoIterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    let mut metadata: BTreeMap<String, String> =
        entries.into_iter().map(|(name, value)| (name, plain(&value))).collect();
    for (key, value) in tags.iter().take(MAX_TAGS) {
        metadata.insert(free(&metadata, plain(key)), plain(value));
    }
    metadata
}

/// Returns `text` in the form that the service accepts: `[a-zA-Z0-9\s:_@$#=/+,-.]{0,256}`.
fn plain(text: &str) -> String {
    let takes = |c: char| c.is_ascii_alphanumeric() || ":_@$#=/+,-.".contains(c);
    let plain = |c: char| match c {
        c if takes(c) => c,
        c if c.is_whitespace() => ' ',
        _ => INSTEAD,
    };
    text.chars().take(MAX_METADATA_CHARS).map(plain).collect()
}

/// Returns `name`, with a number appended if it is taken. Different names may become the same by the replacements.
fn free(taken: &BTreeMap<String, String>, name: String) -> String {
    if !taken.contains_key(&name) {
        return name;
    }
    let numbered = |n: usize| {
        let number = format!("#{n}");
        let kept = name.chars().take(MAX_METADATA_CHARS - number.len()).collect::<String>();
        kept + &number
    };
    let free = (2..).map(numbered).find(|name| !taken.contains_key(name));
    free.expect("fewer are taken than there are numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    /// Returns `true` if the service accepts `text`, according to
    /// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>.
    fn is_taken(text: &str) -> bool {
        text.chars().count() <= 256
            && text.chars().all(|c| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c))
    }

    #[test]
    fn what_the_service_does_not_take_is_replaced_and_cut() {
        let long = "x".repeat(300);
        let tags = tags(&[("a", "fix/größe"), ("b", "feat(x)"), ("c", "one\n\ttwo"), ("d", &long)]);
        let metadata = request_metadata(&tags, []);
        assert_eq!(metadata["a"], "fix/gr__e");
        assert_eq!(metadata["b"], "feat_x_");
        assert_eq!(metadata["c"], "one  two");
        assert_eq!(metadata["d"], "x".repeat(256));
        assert!(metadata.values().all(|value| is_taken(value)), "{metadata:?}");
    }

    #[test]
    fn what_it_takes_is_left_as_it_is() {
        let text = "aZ0 :_@$#=/+,-.";
        assert_eq!(request_metadata(&tags(&[(text, text)]), []), tags(&[(text, text)]));
    }

    #[test]
    fn no_tag_replaces_another_or_an_entry_of_bcce() {
        let long = "k".repeat(256);
        let longer = [format!("{long}1"), format!("{long}2")];
        let pairs = [
            ("run(id", "tag"),
            ("größe", "1"),
            ("gräße", "2"),
            (longer[0].as_str(), "3"),
            (longer[1].as_str(), "4"),
        ];
        let entries = [("run_id".to_owned(), "bcce".to_owned())];
        let metadata = request_metadata(&tags(&pairs), entries);
        assert_eq!(metadata["run_id"], "bcce");
        assert_eq!(metadata["run_id#2"], "tag");
        let mut values: Vec<&str> = metadata.values().map(String::as_str).collect();
        values.sort_unstable();
        assert_eq!(values, ["1", "2", "3", "4", "bcce", "tag"]);
        assert!(metadata.keys().all(|key| is_taken(key)), "{metadata:?}");
    }

    #[test]
    fn there_are_no_more_entries_than_the_service_takes() {
        let many: BTreeMap<String, String> =
            (0..20).map(|n| (n.to_string(), String::new())).collect();
        let entries = (0..5).map(|n| (format!("entry-{n}"), String::new()));
        assert_eq!(request_metadata(&many, entries).len(), 16);
    }
}
