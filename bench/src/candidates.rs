//! Lists the functions to measure, and the handlers that they are compared with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::recording::{Exchange, Invocation, Recording};

/// The scene in which the first region answers 429.
pub const FAILING: &str = "invoke, first region fails";

/// A handler with the invocations that it gets.
pub struct Candidate {
    /// The name of the scene, with what handles it if that is not a function of the product.
    pub name: String,
    pub kind: Kind,
    /// The name of the scene.
    pub scene_name: &'static str,
    pub scene: &'static [Invocation],
    /// The exchanges of the function in all scenes.
    pub exchanges: &'static [Exchange],
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// The kind of program that handles the invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A handler that does nothing.
    Nothing,
    /// A function of the product.
    Function,
    /// The requests of `invoke` on hyper and SigV4.
    Bare,
    /// The requests of `invoke` by boto3.
    Python,
    /// The requests of `invoke` by the SDK for JavaScript.
    Node,
    /// The model call of `invoke` by the router of LiteLLM.
    Router,
}

impl Candidate {
    /// Returns whether the candidate can call services over TLS.
    pub fn has_tls(&self) -> bool {
        !matches!(self.kind, Kind::Nothing | Kind::Bare | Kind::Router)
    }

    /// Returns the path of the binary, or `None` for a handler that an interpreter runs.
    pub fn binary(&self) -> Option<PathBuf> {
        let is_binary = matches!(self.kind, Kind::Nothing | Kind::Function | Kind::Bare);
        is_binary.then(|| PathBuf::from(&self.command[0]))
    }
}

/// The handlers that an interpreter runs: name, program and path.
const INTERPRETED: [(Kind, &str, &str, &str); 3] = [
    (Kind::Python, "Python", ".venv/bin/python", "bench/python/handler.py"),
    (Kind::Node, "Node", "node", "bench/node/bundle.mjs"),
    (
        Kind::Router,
        "LiteLLM, model call only",
        ".venv/litellm/bin/python",
        "bench/python/router.py",
    ),
];

/// Returns the candidates in the order of the table. `binaries` is the directory of the release binaries, and `root` that
/// of the repository. Those that an interpreter runs are left out if what they need is not installed.
pub fn all(recording: &'static Recording, binaries: &Path, root: &Path) -> Vec<Candidate> {
    let binary = |name: &str| vec![binaries.join(name).into_os_string()];
    let mut all = Vec::new();
    let mut add = |name: String, kind, scene_name: &'static str, command| {
        let scene = recording.scenes[scene_name].as_slice();
        let exchanges = recording.exchanges[&scene[0].function].as_slice();
        all.push(Candidate { name, kind, scene_name, scene, exchanges, command });
    };
    add("nothing".to_owned(), Kind::Nothing, "invoke", binary("nothing"));
    for (name, scene) in &recording.scenes {
        let function = &scene[0].function;
        add(name.clone(), Kind::Function, name, binary(function));
        if function == "invoke" {
            add(format!("{name}: bare hyper"), Kind::Bare, name, binary("bare"));
        }
    }
    for name in ["invoke", FAILING] {
        for (kind, label, program, path) in INTERPRETED {
            let program = if program.contains('/') { root.join(program) } else { program.into() };
            let path = root.join(path);
            // The path of `node` is not known here.
            if path.exists() && (program.is_relative() || program.exists()) {
                add(format!("{name}: {label}"), kind, name, vec![program.into(), path.into()]);
            }
        }
    }
    all
}
