//! Parses a unified diff inside a text.

use super::source::{defined_function, is_test_path, opens_tests};

#[derive(Debug, Default)]
pub struct Diff {
    pub files: Vec<File>,
}

#[derive(Debug, Default)]
pub struct File {
    pub path: String,
    pub change: Change,
    /// Added and removed lines, in order.
    pub lines: Vec<Line>,
}

#[derive(Debug, Default, PartialEq)]
pub enum Change {
    #[default]
    Modified,
    Added,
    Deleted,
    RenamedFrom(String),
}

#[derive(Debug)]
pub struct Line {
    pub added: bool,
    /// The line number in the new file, or in the old file for a removed line.
    pub number: usize,
    pub text: String,
    /// The function that contains the line, if the diff shows it.
    pub function: Option<String>,
    pub in_tests: bool,
}

impl Diff {
    /// Parses the diffs in a text. Skips all other lines.
    pub fn parse(text: &str) -> Self {
        let mut diff = Self::default();
        let mut hunk = Hunk::default();
        for line in text.lines() {
            let file = diff.files.last_mut();
            if let Some(file) = file.filter(|_| hunk.is_open()) {
                hunk.take(line, file);
            } else {
                diff.header(without_tag(line), &mut hunk);
            }
        }
        diff
    }

    pub fn added(&self) -> impl Iterator<Item = (&File, &Line)> {
        let lines = |file| File::added(file).map(move |line| (file, line));
        self.files.iter().flat_map(lines)
    }

    fn header(&mut self, line: &str, hunk: &mut Hunk) {
        if let Some(paths) = line.strip_prefix("diff --git ") {
            let path = paths.rsplit_once(" b/").map_or(paths, |(_, path)| path);
            self.files.push(File { path: path.to_owned(), ..File::default() });
        } else if let Some(path) = line.strip_prefix("--- ") {
            self.old_path(path);
        } else if let Some(file) = self.files.last_mut() {
            if let Some(path) = line.strip_prefix("+++ ") {
                match name(path) {
                    "/dev/null" => file.change = Change::Deleted,
                    path => file.path = path.to_owned(),
                }
            } else if line.starts_with("new file mode") {
                file.change = Change::Added;
            } else if let Some(old) = line.strip_prefix("rename from ") {
                file.change = Change::RenamedFrom(old.to_owned());
            } else if let Some(open) = Hunk::open(line, file) {
                *hunk = open;
            }
        }
    }

    /// Handles a `--- ` line. It opens a file if no `diff --git` line did, as in the output of `diff -u`.
    fn old_path(&mut self, path: &str) {
        if self.files.last().is_none_or(|file| !file.lines.is_empty()) {
            self.files.push(File { path: name(path).to_owned(), ..File::default() });
        }
        if let Some(file) = self.files.last_mut().filter(|_| name(path) == "/dev/null") {
            file.change = Change::Added;
        }
    }
}

impl File {
    pub fn added(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.added)
    }

    pub fn removed(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| !line.added)
    }
}

/// The position inside a hunk, `@@ -old,left +new,left @@`. The counts determine the end of the hunk, because an added
/// line can look like the header of the next file.
#[derive(Default)]
struct Hunk {
    old: usize,
    new: usize,
    old_left: usize,
    new_left: usize,
    function: Option<String>,
    in_tests: bool,
}

impl Hunk {
    fn open(line: &str, file: &File) -> Option<Self> {
        let (ranges, section) = line.strip_prefix("@@ -")?.split_once(" @@")?;
        let (old, new) = ranges.split_once(" +")?;
        let ((old, old_left), (new, new_left)) = (range(old)?, range(new)?);
        let tests_before = file.lines.last().is_some_and(|line| line.in_tests);
        let in_tests = tests_before || is_test_path(&file.path) || opens_tests(section);
        let function = defined_function(section).map(str::to_owned);
        Some(Self { old, new, old_left, new_left, function, in_tests })
    }

    fn is_open(&self) -> bool {
        self.old_left + self.new_left > 0
    }

    fn take(&mut self, line: &str, file: &mut File) {
        let added = line.starts_with('+');
        let text = line.get(1..).unwrap_or_default();
        match line.as_bytes().first() {
            Some(b'+' | b'-') => file.lines.push(self.changed(added, text)),
            Some(b'\\') => {}
            // Mail programs remove the single blank of an empty context line.
            Some(b' ') | None => {
                self.enter(text);
                self.step(true, true);
            }
            // The diff is cut short: this line is not part of the hunk.
            Some(_) => (self.old_left, self.new_left) = (0, 0),
        }
    }

    fn changed(&mut self, added: bool, text: &str) -> Line {
        self.enter(text);
        let number = if added { self.new } else { self.old };
        self.step(!added, added);
        let (text, function, in_tests) = (text.to_owned(), self.function.clone(), self.in_tests);
        Line { added, number, text, function, in_tests }
    }

    fn enter(&mut self, text: &str) {
        self.in_tests |= opens_tests(text);
        if let Some(function) = defined_function(text) {
            self.function = Some(function.to_owned());
        }
    }

    fn step(&mut self, old: bool, new: bool) {
        self.old += usize::from(old);
        self.new += usize::from(new);
        self.old_left = self.old_left.saturating_sub(old.into());
        self.new_left = self.new_left.saturating_sub(new.into());
    }
}

/// Parses `12,3` or `12` into the first line and the number of lines.
fn range(text: &str) -> Option<(usize, usize)> {
    let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
    Some((start.parse().ok()?, lines.parse().ok()?))
}

/// Returns the path after `--- ` or `+++ `, without its prefix and without the time that some tools append.
fn name(path: &str) -> &str {
    let path = path.split('\t').next().unwrap_or(path);
    path.strip_prefix("a/").or(path.strip_prefix("b/")).unwrap_or(path)
}

/// Returns a line without the opening delimiter of an input, which the first line of the input may follow directly.
fn without_tag(line: &str) -> &str {
    let tag = line.starts_with("<data").then(|| line.split_once('>')).flatten();
    tag.map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::answer::review::tests::SMALL;

    #[test]
    fn a_diff_of_git_is_read_file_by_file() {
        let diff = Diff::parse(SMALL);
        let counts =
            |file: &File| (file.path.clone(), file.added().count(), file.removed().count());
        let counts: Vec<_> = diff.files.iter().map(counts).collect();
        let expected = [
            ("docs/old.md", 0, 1),
            ("infra/role.yaml", 1, 1),
            ("release.sh", 1, 0),
            ("settings.py", 1, 0),
            ("src/orders.rs", 8, 2),
        ];
        assert_eq!(
            counts,
            expected.map(|(path, added, removed)| (path.to_owned(), added, removed))
        );
        assert_eq!(diff.files[0].change, Change::Deleted);
        assert_eq!(diff.files[2].change, Change::RenamedFrom("deploy.sh".into()));
        assert_eq!(diff.files[3].change, Change::Added);
        assert_eq!(diff.files[4].change, Change::Modified);
    }

    #[test]
    fn lines_have_their_number_their_function_and_a_mark_for_tests() {
        let diff = Diff::parse(SMALL);
        let line = |text: &str| {
            let found = diff.files[4].lines.iter().find(|line| line.text.contains(text)).unwrap();
            (found.number, found.function.as_deref(), found.in_tests)
        };
        assert_eq!(line("copied().unwrap()"), (15, Some("count"), false));
        assert_eq!(line("articles[0]"), (23, Some("first"), false));
        assert_eq!(line("unwrap_or(0)"), (35, Some("nothing_ordered_is_zero"), true));
        assert_eq!(line("Option<u32>"), (13, Some("count"), false));
        assert_eq!(line("get(article).copied()"), (14, Some("count"), false));
    }

    #[test]
    fn a_module_of_tests_may_begin_inside_a_hunk() {
        let diff =
            Diff::parse("--- a/x.rs\n+++ b/x.rs\n@@ -1 +1,3 @@\n-a\n+b\n+#[cfg(test)]\n+c\n");
        let in_tests: Vec<bool> = diff.files[0].lines.iter().map(|line| line.in_tests).collect();
        assert_eq!(in_tests, [false, false, true, true]);
    }

    #[test]
    fn lines_that_look_like_headers_are_lines() {
        let diff = Diff::parse(
            "--- a/x.sql\t2026-01-01\n+++ b/x.sql\t2026-01-02\n@@ -1,2 +1,2 @@\n--- a comment\n+++ b/y\n same\n--- a/z\n+++ b/z\n@@ -1 +1 @@\n-1\n+2\n",
        );
        let paths: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["x.sql", "z"]);
        assert_eq!(diff.files[0].lines[0].text, "-- a comment");
        assert_eq!(diff.files[0].lines[1].text, "++ b/y");
    }

    #[test]
    fn a_diff_that_is_cut_short_ends_where_it_is_cut() {
        let diff = Diff::parse(
            "<data-1>diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n+one\n</data-1>\n+not in it\n",
        );
        assert_eq!(diff.files.len(), 1);
        assert_eq!(diff.files[0].lines.len(), 1);
    }
}
