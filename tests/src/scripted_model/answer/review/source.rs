//! Classifies paths and lines by their spelling alone.

const CODE: &[&str] = &[
    "rs", "py", "js", "mjs", "ts", "tsx", "jsx", "go", "java", "kt", "rb", "c", "h", "cpp", "cs",
    "php", "swift", "scala", "sh",
];
const PROSE: &[&str] = &["md", "txt", "rst", "adoc", "lock"];

pub fn is_code(path: &str) -> bool {
    CODE.contains(&extension(path))
}

pub fn is_prose(path: &str) -> bool {
    PROSE.contains(&extension(path))
}

pub fn is_rust(path: &str) -> bool {
    extension(path) == "rs"
}

pub fn is_test_path(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    let file = folders.pop().unwrap_or_default();
    let stem = file.split('.').next().unwrap_or_default();
    folders.iter().any(|folder| ["test", "tests", "__tests__"].contains(folder))
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || file.contains(".test.")
        || file.contains(".spec.")
}

/// Returns true if the unit tests of a Rust file begin with this line.
pub fn opens_tests(line: &str) -> bool {
    let line = line.trim();
    line == "#[cfg(test)]" || line.starts_with("mod tests")
}

/// Returns true if the line is blank or contains only a comment.
pub fn is_silent(path: &str, line: &str) -> bool {
    let line = line.trim();
    let marks: &[&str] = if is_rust(path) { &["//", "/*", "*/"] } else { &["//", "/*", "*/", "#"] };
    line.is_empty() || marks.iter().any(|mark| line.starts_with(mark))
}

/// Returns the line without the contents of its strings and without the text after `//`.
pub fn without_strings(line: &str) -> String {
    let line = line.replace("'\"'", "''");
    let (mut code, mut inside, mut escaped) = (String::new(), false, false);
    for c in line.chars() {
        let quote = c == '"' && !escaped;
        escaped = inside && c == '\\' && !escaped;
        if quote || !inside {
            code.push(c);
        }
        inside ^= quote;
    }
    code.split("//").next().unwrap_or_default().to_owned()
}

/// Returns the name of the function whose definition begins in the line, in the usual languages.
pub fn defined_function(line: &str) -> Option<&str> {
    let keywords = ["fn ", "def ", "func ", "function "];
    let at = keywords.iter().find_map(|keyword| {
        let at = line.find(keyword)?;
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace()).then_some(at + keyword.len())
    })?;
    let name = line[at..].trim_start();
    let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
    let opens = name[end..].starts_with(['(', '<']);
    (end > 0 && opens).then(|| &name[..end])
}

/// Returns true if the text contains `word`, and not as part of a longer word.
pub fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(part_of_word) && !after.starts_with(part_of_word)
    })
}

fn extension(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_keyword() {
        assert_eq!(defined_function("    pub async fn run<T>(x: T) {"), Some("run"));
        assert_eq!(defined_function("def total(self):"), Some("total"));
        assert_eq!(defined_function("impl Orders {"), None);
        assert_eq!(defined_function("    let often = fn_pointer;"), None);
        assert_eq!(defined_function("// a fn is a function"), None);
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert_eq!(without_strings(r#"say("a.unwrap() \" b"); // x.unwrap()"#), r#"say(""); "#);
        assert_eq!(without_strings("c == '\"' && d.unwrap()"), "c == '' && d.unwrap()");
    }

    #[test]
    fn tests_are_recognized_by_their_path() {
        for path in [
            "tests/src/a.rs",
            "a/src/tests.rs",
            "a/__tests__/b.js",
            "test_a.py",
            "a_test.go",
            "a.spec.ts",
        ] {
            assert!(is_test_path(path), "{path}");
        }
        for path in ["src/contest.rs", "src/latest/a.rs", "src/testimony.py"] {
            assert!(!is_test_path(path), "{path}");
        }
    }

    #[test]
    fn a_part_of_a_word_is_not_the_word() {
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("unsafe_code = \"forbid\"", "unsafe"));
    }
}
