//! Writes a page to a file, or to standard output.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, Outcome};

/// The option of every report.
#[derive(Debug, clap::Args)]
pub struct PageFile {
    /// File to write the page to, or `-` for standard output; an existing file is replaced
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,
}

impl PageFile {
    /// Writes the page and says where. A file is replaced as a whole, or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, page: &str, out: &mut dyn Write) -> Outcome {
        if self.html == Path::new("-") {
            out.write_all(page.as_bytes())?;
            return Ok(Exit::Done);
        }
        replace(&self.html, page.as_bytes(), Readers::Owner).map_err(|error| {
            let what = format!("--html {}: cannot be written: {error}", self.html.display());
            Failure::usage(what, "choose a file in a directory that exists and is yours")
        })?;
        let (file, kb) = (self.html.display(), page.len().div_ceil(1_000));
        writeln!(out, "wrote {file} ({kb} KB): open it in a browser")?;
        Ok(Exit::Done)
    }
}

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner alone: a report has texts of senders.
    Owner,
    /// Whoever may read other new files, as the umask says.
    Usual,
}

/// Writes a temporary file beside the file and renames it, so that no reader sees half a page.
pub fn replace(path: &Path, bytes: &[u8], readers: Readers) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bcce-report-");
    if readers == Readers::Usual {
        // The umask takes its bits from these, as from those of any new file.
        builder.permissions(Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let file = PageFile { html: folder.path().join("run.html") };
        for page in ["first", "second"] {
            let mut said = Vec::new();
            file.write(page, &mut said).unwrap();
            assert!(String::from_utf8(said).unwrap().ends_with("(1 KB): open it in a browser\n"));
            assert_eq!(std::fs::read_to_string(&file.html).unwrap(), page);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left");
    }

    #[test]
    fn a_report_is_private_and_other_files_have_the_usual_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let path = folder.path().join(name);
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        std::fs::write(folder.path().join("usual"), "").unwrap();
        replace(&folder.path().join("drawing.svg"), b"", Readers::Usual).unwrap();
        assert_eq!(mode("drawing.svg"), mode("usual"));
        PageFile { html: folder.path().join("run.html") }.write("page", &mut Vec::new()).unwrap();
        assert_eq!(mode("run.html"), 0o600);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_named() {
        let file = PageFile { html: "/nowhere/at/all/run.html".into() };
        let failure = file.write("page", &mut Vec::new()).unwrap_err();
        assert!(
            failure.what.starts_with("--html /nowhere/at/all/run.html: cannot be written: No such")
        );
    }

    #[test]
    fn standard_output_gets_the_page_alone() {
        let mut out = Vec::new();
        PageFile { html: "-".into() }.write("page", &mut out).unwrap();
        assert_eq!(out, b"page");
    }
}
