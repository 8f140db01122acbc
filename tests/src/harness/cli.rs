//! Runs the `bcce` command.

use std::path::Path;
use std::process::Command;

/// The root directory of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Runs the command for an environment. Returns its exit code, and its standard output followed by its standard error.
pub fn bcce(environment: &str, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(Path::new(ROOT).join("target/debug/bcce"));
    let done = command.args(["--env", environment]).args(args).output().unwrap();
    let output = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap(), String::from_utf8(output).unwrap())
}
