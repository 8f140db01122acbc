//! Parses `--files NAME PATH...`, which passes a list of files as an input: `[{ "path": …, "text": … }]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bcce_core::base::error::Problems;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, value_parser};
use serde_json::{Value, json};

/// The name and the value of an input. The value may be invalid although the name is known.
pub type Named = Result<(String, Result<Value, Problems>), Problems>;

/// Reads the text of a file, or returns why it cannot be read.
pub type ReadText<'a> = dyn Fn(&Path) -> Result<String, String> + 'a;

/// The lists as given, each with the name of the input and then the paths. This implements `clap::Args` by hand,
/// because the derive macro joins the values of a repeated option.
#[derive(Clone, Debug, Default)]
pub struct Lists(pub Vec<Vec<PathBuf>>);

const HELP: &str =
    "List of files as the input NAME, such as --files code src/*.rs; can be repeated";
const LONG_HELP: &str = "\
List of files as the input NAME; can be repeated

The input is a list of { \"path\": PATH, \"text\": ... }, one for each file in the given order, with the path as \
given. The list ends at the next option, so put the workflow before it:

  bcce submit <workflow> --files code src/*.rs tests/*.rs --wait
  bcce submit <workflow> --files code $(git ls-files '*.rs') --files docs README.md";

impl clap::Args for Lists {
    fn augment_args(command: Command) -> Command {
        let files = Arg::new("files").long("files").value_names(["NAME", "PATH"]).num_args(2..);
        let files = files.action(ArgAction::Append).value_parser(value_parser!(PathBuf));
        command.arg(files.help(HELP).long_help(LONG_HELP))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Lists {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = matches.get_occurrences("files").into_iter().flatten();
        Ok(Self(given.map(|list| list.cloned().collect()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads a list of files. The problems name each file that cannot be used by its path, and never quote its content.
pub fn list(given: &[PathBuf], read: &ReadText) -> Named {
    let (name, paths) = match given.split_first() {
        Some((name, paths)) => (name.to_string_lossy(), paths),
        None => return Err(Problems::one("inputs", "--files needs a NAME and at least one path")),
    };
    if name.contains(['/', '.']) {
        let cause = format!("--files needs the NAME of an input before the paths, not {name}");
        return Err(Problems::one("inputs", cause));
    }
    let mut problems = Problems::default();
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let problem = |cause: &str| format!("{} {cause}", path.display());
        let field = format!("inputs.{name}");
        problems.check(seen.insert(path), &field, problem("is given twice"));
        match (path.to_str(), read(path)) {
            (Some(path), Ok(text)) => files.push(json!({ "path": path, "text": text })),
            (None, Ok(_)) => problems.add(field, problem("has a name that is not UTF-8")),
            (_, Err(cause)) => problems.add(field, problem(&cause)),
        }
    }
    Ok((name.into_owned(), problems.none_or(files.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn read(path: &Path) -> Result<String, String> {
        match path.to_str() {
            Some("a.rs") => Ok("fn a() {}\n".into()),
            Some("blob.rs") => Err("is not UTF-8, see line 1".into()),
            Some("gone.rs") => Err("cannot be read: No such file or directory".into()),
            _ => Ok(String::new()),
        }
    }

    fn listed(given: &[&str]) -> Result<(String, Value), String> {
        let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
        let (name, value) = list(&given, &read).map_err(|problems| problems.to_string())?;
        value.map(|value| (name, value)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_list_has_path_and_text_of_each_file_in_their_order() {
        let expected = json!([
            { "path": "src/z.rs", "text": "" },
            { "path": "a.rs", "text": "fn a() {}\n" },
        ]);
        assert_eq!(listed(&["code", "src/z.rs", "a.rs"]), Ok(("code".into(), expected)));
    }

    #[test]
    fn every_file_that_cannot_be_taken_is_reported_by_its_path() {
        let message = listed(&["code", "blob.rs", "a.rs", "gone.rs", "a.rs"]).unwrap_err();
        let expected = "inputs.code: blob.rs is not UTF-8, see line 1; \
                        inputs.code: gone.rs cannot be read: No such file or directory; \
                        inputs.code: a.rs is given twice";
        assert_eq!(message, expected);
        let odd = [PathBuf::from("code"), PathBuf::from(OsStr::from_bytes(b"\xff.rs"))];
        let message = list(&odd, &read).unwrap().1.unwrap_err().to_string();
        assert_eq!(message, "inputs.code: \u{fffd}.rs has a name that is not UTF-8");
    }

    #[test]
    fn a_forgotten_name_is_reported_and_not_sent_as_one() {
        let message = listed(&["src/a.rs", "src/b.rs"]).unwrap_err();
        assert!(message.contains("needs the NAME of an input before the paths"), "{message}");
    }

    #[test]
    fn each_list_is_kept_by_itself() {
        let command = <Lists as clap::Args>::augment_args(Command::new("submit"));
        let given = ["submit", "--files", "code", "a.rs", "b.rs", "--files", "docs", "README.md"];
        let matches = command.clone().try_get_matches_from(given).unwrap();
        let Lists(lists) = Lists::from_arg_matches(&matches).unwrap();
        let expected = [vec!["code", "a.rs", "b.rs"], vec!["docs", "README.md"]];
        let expected = expected.map(|list| list.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(lists, expected);
        assert!(command.try_get_matches_from(["submit", "--files", "code"]).is_err());
    }
}
