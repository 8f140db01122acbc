//! Reads a directory of configuration files and reports all of their faults together.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use bcce_core::base::error::Problem;
use bcce_core::config::directory;
use bcce_core::config::directory::Finding;
use bcce_core::config::profiles::Profiles;
use time::Date;

use crate::exit::{Exit, Failure, Outcome};
use crate::paint::one_line;
use crate::{figures, files, terminal};

/// The texts of files by their paths within the directory.
pub type Texts = BTreeMap<String, String>;

/// The number of folder levels that are read. A configuration has one level. The further levels serve to report
/// misplaced files, and the limit ends a loop of symbolic links.
const DEPTH: usize = 3;

/// Reads a directory and checks it. The targets are checked as of `today`, if it is given.
///
/// # Errors
/// The directory cannot be read, or its files have faults. In the second case the failure has the exit code `exit` and
/// the advice `then`.
pub fn checked(directory: &Path, today: Option<Date>, exit: Exit, then: &str) -> Outcome<Texts> {
    let mut read = Read::default();
    read.folder(directory, directory, DEPTH).map_err(|error| {
        let then = "give a directory of configuration files, such as infra/config/dev";
        Failure::usage(format!("{} cannot be read: {error}", directory.display()), then)
    })?;
    let findings = read.findings(today);
    if findings.is_empty() { Ok(read.texts) } else { Err(faulty(directory, &findings, exit, then)) }
}

/// Returns the failure for a directory whose files have faults.
pub fn faulty(directory: &Path, findings: &[Finding], exit: Exit, then: &str) -> Failure {
    let lines: String = findings.iter().map(|finding| listed(&finding.to_string())).collect();
    let count = figures::plural(findings.len(), "fault");
    let what = format!("{} has {count}:{lines}", directory.display());
    Failure { exit, what, then: then.to_owned() }
}

/// Prints warnings to standard error. A warning is not part of the result and does not fail the command.
pub fn print_warnings(warnings: impl IntoIterator<Item = impl Display>) {
    for warning in warnings {
        terminal::note(&warning_line(&warning));
    }
}

/// Formats a finding as one line. The name of a file and the keys in it may contain line breaks, and both may come from
/// a pull request.
fn listed(finding: &str) -> String {
    format!("\n  {}", one_line(finding))
}

fn warning_line(warning: &impl Display) -> String {
    format!("warning: {}", one_line(&warning.to_string()))
}

/// The files of a directory.
#[derive(Debug, Default)]
struct Read {
    texts: Texts,
    /// The reason for each file that was not read, by its path.
    unread: BTreeMap<String, String>,
}

impl Read {
    fn folder(&mut self, root: &Path, folder: &Path, depth: usize) -> io::Result<()> {
        for path in entries(folder)? {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() {
                let deeper = depth.checked_sub(1).map(|depth| self.folder(root, &path, depth));
                if let Some(Err(error)) = deeper {
                    self.unread.insert(name, format!("cannot be read: {error}"));
                }
            } else if is_yaml(&path) {
                self.file(name, &path);
            }
        }
        Ok(())
    }

    fn file(&mut self, name: String, path: &Path) {
        // Only one ending is accepted. Otherwise one of two files for the same document would silently replace the
        // other.
        let text = if name.ends_with(".yaml") {
            files::text(path)
        } else {
            Err("is not read because its name does not end in .yaml".into())
        };
        match text {
            Ok(text) => self.texts.insert(name, text),
            Err(cause) => self.unread.insert(name, cause),
        };
    }

    fn findings(&self, today: Option<Date>) -> Vec<Finding> {
        let unread = self.unread.iter().map(|(file, cause)| Finding {
            file: file.clone(),
            problem: Problem { field: "document".into(), cause: cause.clone() },
        });
        // A file that could not be read is not reported as missing as well.
        let mut more = directory::check(&self.texts);
        more.extend(
            today.into_iter().flat_map(|today| {
                directory::check_targets(&self.texts, today, &Profiles::default())
            }),
        );
        unread
            .chain(more.into_iter().filter(|finding| !self.unread.contains_key(&finding.file)))
            .collect()
    }
}

/// Lists a folder without hidden files, which belong to editors or version control.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn is_yaml(path: &Path) -> bool {
    let is = |extension: &str| {
        path.extension().is_some_and(|other| other.eq_ignore_ascii_case(extension))
    };
    is("yaml") || is("yml")
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const RIGHT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/config/dev");

    const TODAY: Date = date!(2026 - 11 - 28);

    fn read(directory: &Path) -> Result<Texts, String> {
        checked(directory, Some(TODAY), Exit::Usage, "correct the files")
            .map_err(|failure| failure.what)
    }

    #[test]
    fn the_configuration_of_this_repository_is_read_whole() {
        let texts = read(Path::new(RIGHT)).unwrap();
        assert!(texts.contains_key("models.yaml") && texts.contains_key("workflows/explain.yaml"));
    }

    #[test]
    fn every_file_that_cannot_be_taken_is_reported_at_once() {
        let directory = std::env::temp_dir().join(format!("bcce-directory-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("workflows/old")).unwrap();
        let put = |file: &str, bytes: &[u8]| std::fs::write(directory.join(file), bytes).unwrap();
        put("models.yaml", b"version: 1\nmodels: \xff\n");
        put("policy.yml", b"version: 1\n");
        put("routing.yaml", b"attempt: 8\n");
        put("workflows/old/explain.yaml", b"version: 1\n");
        put("README.md", b"No part of it.\n");
        put(".hidden.yaml", b"Nor this.\n");
        std::os::unix::fs::symlink("/gone/prices", directory.join("prices.yaml")).unwrap();
        std::os::unix::fs::symlink("..", directory.join("workflows/up")).unwrap();
        let message = read(&directory).unwrap_err();
        std::fs::remove_dir_all(&directory).unwrap();
        for part in [
            "models.yaml: document: is not UTF-8, see line 2",
            "policy.yml: document: is not read because its name does not end in .yaml",
            "policy.yaml: document: is missing",
            "prices.yaml: document: cannot be read: No such file",
            "routing.yaml: attempt: is unknown; there are: version, strategy, attempts",
            "workflows/old/explain.yaml: document: is not part of a configuration",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        for part in ["models.yaml: document: is missing", "README", "hidden"] {
            assert!(!message.contains(part), "{part} is in {message}");
        }
    }

    #[test]
    fn a_name_of_a_file_and_a_warning_forge_no_line() {
        let name = format!("bcce-directory-lines-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("x\n  forged.yml"), "version: 1\n").unwrap();
        std::fs::write(directory.join("routing.yaml"), "\"y\\n  forged\": 1\n").unwrap();
        let message = read(&directory).unwrap_err();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(message.contains("x   forged.yml") && message.contains("y   forged"), "{message}");
        assert!(!message.lines().any(|line| line.starts_with("  forged")), "{message}");
        assert_eq!(warning_line(&"a\nerror: forged"), "warning: a error: forged");
    }

    #[test]
    fn a_directory_that_is_not_there_is_reported_as_one() {
        let gone = Path::new("/gone");
        let failure = checked(gone, Some(TODAY), Exit::Failed, "correct the files").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.what.starts_with("/gone cannot be read"), "{}", failure.what);
    }
}
