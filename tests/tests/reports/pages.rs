//! The pages that the commands write.

use std::fs;
use std::path::{Path, PathBuf};

use bcce_tests::harness::cli::bcce;
use bcce_tests::harness::stack::RunRef;

/// A directory of pages.
pub struct Pages(PathBuf);

impl Pages {
    /// Creates an empty directory.
    pub fn new() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reports");
        if directory.exists() {
            fs::remove_dir_all(&directory).unwrap();
        }
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Runs a command with `--html`. Returns the page, which is stored as `<name>.html`.
    pub fn write(&self, name: &str, command: &[&str]) -> String {
        let path = self.0.join(format!("{name}.html"));
        let html = ["--html", path.to_str().unwrap()];
        let (code, text) = bcce("dev", &[command, &html].concat());
        assert_eq!(code, 0, "{command:?}: {text}");
        fs::read_to_string(path).unwrap()
    }

    /// Writes the page of a run and returns it. It has the words `has`.
    pub fn of_run(&self, name: &str, run: &RunRef, has: &[&str]) -> String {
        let page = self.write(name, &["runs", "report", &run.run_id]);
        check(name, &page, has);
        page
    }

    /// Writes the page of a batch and returns it. It has the words `has`.
    pub fn of_batch(&self, name: &str, batch_id: &str, has: &[&str]) -> String {
        let page = self.write(name, &["batch", "report", batch_id]);
        check(name, &page, has);
        page
    }
}

fn check(name: &str, page: &str, has: &[&str]) {
    for part in has {
        assert!(page.contains(part), "{name}.html does not have {part}");
    }
}
