//! Formats the help of a command as Markdown.

use clap::{Arg, Command};

use super::Format;
use super::blocks::{Block, blocks};
use crate::exit::EXIT_TITLE;

/// The width of a line outside of tables and code, in characters.
const WIDTH: usize = 100;
const GENERATED: &str = "<!-- `make reference` writes this page from the help of the command. -->";
/// A space at which a line is not broken.
const GLUE: &str = "\u{a0}";
/// The marker of a default that the help of an option describes.
const DEFAULT: &str = "[default: ";
const INTRO: &str = "This page lists the commands of `bcce`. `bcce help` and `bcce help <command>` print the same. See\n\
    [shell](../shell.md) for completions, man pages, JSON and colors.";

/// Returns the page that lists all commands.
pub fn overview(root: &Command) -> String {
    let mut page = vec!["# Commands".to_owned(), GENERATED.to_owned(), INTRO.to_owned()];
    let (groups, single): (Vec<_>, Vec<_>) =
        visible(root).partition(|command| command.has_subcommands());
    page.push(listed(&[], single.into_iter()));
    for group in groups {
        let heading = format!("## bcce {}", group.get_name());
        page.extend([
            heading,
            wrapped(&sentence(group)),
            listed(&[group.get_name()], visible(group)),
        ]);
    }
    page.push("## Options of every command".to_owned());
    page.push(arguments(
        "option",
        root.get_arguments().filter(|arg| arg.is_global_set()).collect(),
    ));
    page.extend(help(&root.get_after_help().map(ToString::to_string).unwrap_or_default()));
    page.join("\n\n") + "\n"
}

/// Returns the page of a command.
pub fn page(path: &[&str], command: &Command) -> String {
    let heading = format!("# bcce {}", path.join(" "));
    let mut page = vec![heading, GENERATED.to_owned(), wrapped(&sentence(command))];
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    page.extend(long.split("\n\n").skip(1).map(wrapped));
    let usage = command.clone().render_usage().to_string();
    page.push(format!("```sh\n{}\n```", usage.trim_start_matches("Usage:").trim()));
    let own = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_global_set());
    let own = own.filter(|arg| arg.get_id() != "help");
    let (positional, options): (Vec<_>, Vec<_>) = own.partition(|arg| arg.is_positional());
    if !positional.is_empty() {
        page.extend(["## Arguments".to_owned(), arguments("argument", positional)]);
    }
    page.push("## Options".to_owned());
    if !options.is_empty() {
        page.push(arguments("option", options.clone()));
        page.extend(options.into_iter().flat_map(details));
    }
    page.push("[Every command](README.md#options-of-every-command) takes `--env`.".to_owned());
    page.extend(help(&command.get_after_long_help().map(ToString::to_string).unwrap_or_default()));
    page.join("\n\n") + "\n"
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    let all = command.get_subcommands();
    all.filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// Returns what a command does, as a sentence.
fn sentence(command: &Command) -> String {
    format!("{}.", command.get_about().map(ToString::to_string).unwrap_or_default())
}

/// Returns a table of commands with links to their pages.
fn listed<'a>(group: &[&str], commands: impl Iterator<Item = &'a Command>) -> String {
    let row = |command: &'a Command| {
        let path = [group, &[command.get_name()]].concat();
        let link = format!("[`bcce {}`]({})", path.join(" "), Format::Markdown.file(&path));
        vec![link, escaped(sentence(command).trim_end_matches('.'))]
    };
    table(&["command", "does"], commands.map(row))
}

fn arguments(what: &str, arguments: Vec<&Arg>) -> String {
    let has_defaults = arguments.iter().any(|arg| !default(arg).is_empty());
    let row = |arg: &Arg| match has_defaults {
        true => vec![name(arg), default(arg), meaning(arg)],
        false => vec![name(arg), meaning(arg)],
    };
    let heads: &[&str] =
        if has_defaults { &[what, "default", "meaning"] } else { &[what, "meaning"] };
    table(heads, arguments.into_iter().map(row))
}

/// Returns an argument as it is written on the command line: `-i, --input <NAME=VALUE>`.
fn name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let values: String =
        names.iter().filter(|_| takes_value(arg)).map(|name| format!(" <{name}>")).collect();
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    format!("`{}`", format!("{}{values}", flags.join(", ")).trim())
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|number| number.takes_values())
}

fn default(arg: &Arg) -> String {
    let values = arg.get_default_values().iter().filter(|_| takes_value(arg));
    let values = values.map(|value| format!("`{}`", value.to_string_lossy()));
    help_and_default(arg).1.map_or_else(|| values.collect(), |default| escaped(&default))
}

fn meaning(arg: &Arg) -> String {
    let mut text = help_and_default(arg).0;
    let values = arg.get_possible_values();
    let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    if !values.is_empty() && takes_value(arg) {
        text += &format!(": {}", values.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        text +=
            &format!("; the environment variable `{}` also sets it", variable.to_string_lossy());
    }
    escaped(&text)
}

/// Returns the paragraphs that only the long help of an option has. Indented lines are code.
fn details(arg: &Arg) -> Vec<String> {
    let long = arg.get_long_help().map(ToString::to_string).unwrap_or_default();
    let mut parts: Vec<String> = long.split("\n\n").skip(1).map(str::to_owned).collect();
    for part in &mut parts {
        *part = match part.starts_with("  ") {
            true => format!("```sh\n{}\n```", part.replace("\n  ", "\n").trim()),
            false => wrapped(part),
        };
    }
    if let Some(first) = parts.first_mut() {
        *first = format!("With {}:\n\n{first}", name(arg));
    }
    parts
}

/// Returns the help of an argument, and the default at its end, if the help describes it.
fn help_and_default(arg: &Arg) -> (String, Option<String>) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    match help.strip_suffix(']').and_then(|help| help.split_once(DEFAULT)) {
        Some((help, default)) => (help.trim_end().to_owned(), Some(default.to_owned())),
        None => (help, None),
    }
}

/// Formats the text after the help. A section has a table.
fn help(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for block in blocks(text) {
        let (title, intro, rows) = match block {
            Block::Paragraph(text) => {
                parts.push(wrapped(text));
                continue;
            }
            Block::Section { title, intro, rows } => (title, intro, rows),
        };
        parts.push(format!("## {title}"));
        parts.extend((!intro.is_empty()).then(|| wrapped(intro)));
        let what = if title == EXIT_TITLE { "code" } else { "field" };
        let rows = rows
            .into_iter()
            .map(|(name, text)| vec![format!("`{}`", name.replace(", ", "`, `")), escaped(text)]);
        parts.push(table(&[what, "meaning"], rows));
    }
    parts
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |", cells.join(" | "))
    };
    let heads = heads.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rule = format!("|{}", "---|".repeat(heads.len()));
    [line(heads), rule].into_iter().chain(rows.map(line)).collect::<Vec<_>>().join("\n")
}

/// Escapes what Markdown would take for markup outside of code, and formats options as code.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let escape = |(n, part): (usize, &str)| match n % 2 {
        0 => part.split(' ').map(escaped_word).collect::<Vec<_>>().join(" "),
        _ => part.to_owned(),
    };
    parts.map(escape).collect::<Vec<_>>().join("`")
}

fn escaped_word(word: &str) -> String {
    let is_of_option = |c: char| c == '-' || c.is_ascii_alphanumeric();
    let option = word.find("--").map(|at| word.split_at(at));
    match option.filter(|(before, _)| !before.ends_with(char::is_alphanumeric)) {
        Some((before, option)) => {
            let end = option.find(|c| !is_of_option(c)).unwrap_or(option.len());
            format!("{before}`{}`{}", &option[..end], &option[end..])
        }
        None => word.replace('<', "\\<").replace('*', "\\*"),
    }
}

/// Breaks a paragraph into lines, and escapes it. Code stays on one line unless it is long.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let text = escaped(text);
    let glued = |(n, part): (usize, &str)| match n % 2 == 1 && part.len() < WIDTH / 2 {
        true => part.replace(' ', GLUE),
        false => part.to_owned(),
    };
    let text = text.split('`').enumerate().map(glued).collect::<Vec<_>>().join("`");
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n").replace(GLUE, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_markdown_would_take_for_markup_is_escaped() {
        let text = "tag:<name> with (--dry-run), `a<b`";
        assert_eq!(escaped(text), "tag:\\<name> with (`--dry-run`), `a<b`");
        let arg = Arg::new("a").long("a").help("Number [default: the latest]");
        assert_eq!((default(&arg), meaning(&arg)), ("the latest".into(), "Number".into()));
    }

    #[test]
    fn a_block_of_help_is_a_table() {
        let parts = help("Exit codes:\n  0  success: all\n  1  a | b\n\nThe end.");
        let table = "| code | meaning |\n|---|---|\n| `0` | success: all |\n| `1` | a \\| b |";
        assert_eq!(parts, ["## Exit codes", table, "The end."]);
    }

    #[test]
    fn a_paragraph_has_lines_of_the_width() {
        let text = wrapped(&"word ".repeat(50));
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        assert_eq!(text.lines().count(), 3);
        let text = wrapped(&format!("{} `bcce runs list` ends", "x".repeat(90)));
        assert!(text.ends_with("\n`bcce runs list` ends"), "{text}");
    }
}
