//! The pages of the manual, one for each command: man pages and the Markdown of docs/reference. They are generated from
//! the definition of the command line.

mod blocks; // the paragraphs and sections of a text
mod man; // a man page
mod markdown; // a page in Markdown

use std::collections::BTreeMap;
use std::path::Path;

use clap::Command;

use crate::exit::EXIT_CODES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Man,
    Markdown,
}

/// The texts of pages by the names of their files.
pub type Pages = BTreeMap<String, String>;

impl Format {
    /// Returns the file of a command's page: `bcce-runs-list.1`, or `runs-list.md`. The empty path is the overview.
    pub fn file(self, path: &[&str]) -> String {
        match (self, path) {
            (Self::Man, path) => format!("{}.1", [&["bcce"], path].concat().join("-")),
            (Self::Markdown, []) => "README.md".to_owned(),
            (Self::Markdown, path) => format!("{}.md", path.join("-")),
        }
    }

    /// Returns true if a file of this name is a page.
    fn is_page(self, file: &str) -> bool {
        match self {
            Self::Man => file.starts_with("bcce") && file.ends_with(".1"),
            Self::Markdown => file.ends_with(".md"),
        }
    }
}

/// Returns the pages of all commands. In Markdown, the overview lists the groups of commands, which have no pages of
/// their own.
pub fn pages(root: Command, format: Format) -> Pages {
    let mut root = with_exit_codes(root, true).disable_help_subcommand(true);
    root.build();
    let version = root.get_version().unwrap_or_default();
    let mut pages = Pages::new();
    for (path, command) in commands(&root) {
        let text = match format {
            Format::Man => Some(man::page(command, version)),
            Format::Markdown if path.is_empty() => Some(markdown::overview(command)),
            Format::Markdown if command.has_subcommands() => None,
            Format::Markdown => Some(markdown::page(&path, command)),
        };
        pages.extend(text.map(|text| (format.file(&path), text)));
    }
    pages
}

/// Returns all commands with their paths, in the order of the help, each group before its commands.
pub fn commands(root: &Command) -> Vec<(Vec<&str>, &Command)> {
    let mut found = vec![(vec![], root)];
    let visible = root.get_subcommands().filter(|command| !command.is_hide_set());
    for command in visible.filter(|command| command.get_name() != "help") {
        let below = commands(command).into_iter();
        found.extend(below.map(|(path, found)| ([vec![command.get_name()], path].concat(), found)));
    }
    found
}

/// Adds the exit codes to the help of each command below the root, whose help already has them.
fn with_exit_codes(command: Command, is_root: bool) -> Command {
    let command = command.mut_subcommands(|command| with_exit_codes(command, false));
    if is_root || command.has_subcommands() {
        return command;
    }
    let help = command.get_after_long_help().map(|help| format!("{help}\n\n"));
    command.after_long_help(help.unwrap_or_default() + EXIT_CODES)
}

/// Writes the pages to a directory, and deletes pages that are left of commands that no longer exist.
pub fn write(dir: &Path, pages: &Pages, format: Format) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for file in left_over(dir, pages, format)? {
        std::fs::remove_file(dir.join(file))?;
    }
    pages.iter().try_for_each(|(file, text)| std::fs::write(dir.join(file), text))
}

/// Returns the files of a directory that look like pages and are none of `pages`.
pub fn left_over(dir: &Path, pages: &Pages, format: Format) -> std::io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if format.is_page(&file) && !pages.contains_key(&file) {
            files.push(file);
        }
    }
    Ok(files)
}
