//! Checks the order of the layers in `bcce-core`, and that the modules of a crate do not import each other in a cycle.

mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::template::root;
use source::Import;

/// The layers of `bcce-core`, from the lowest up. A layer imports those before it.
const LAYERS: [&str; 13] = [
    "base", "document", "config", "call", "failover", "standby", "run", "batch", "webhook",
    "ledger", "ports", "io", "fakes",
];

/// A file of a crate: its name below `src/`, its module, and what it imports.
struct File {
    name: String,
    module: Vec<String>,
    imports: Vec<Import>,
}

/// Reads the imports of files. All imports of a module that is compiled for tests only are imports of tests.
fn files<'a>(texts: impl IntoIterator<Item = (String, &'a str)>) -> Vec<File> {
    let mut test_modules = BTreeSet::new();
    let mut files = Vec::new();
    for (name, text) in texts {
        let module = module(&name);
        let source = source::read(&module, text);
        let own = source.test_modules.into_iter().map(|test| [&module[..], &[test]].concat());
        test_modules.extend(own);
        files.push(File { name, module, imports: source.imports });
    }
    for file in &mut files {
        let is_test = (0..=file.module.len()).any(|n| test_modules.contains(&file.module[..n]));
        file.imports.iter_mut().for_each(|import| import.is_test |= is_test);
    }
    files
}

/// Returns the module of a file: `a::b` for `a/b.rs` and `a/b/mod.rs`, and the root for `lib.rs` and `main.rs`.
fn module(name: &str) -> Vec<String> {
    let mut parts: Vec<String> =
        name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let last = parts.last().map(String::as_str);
    if last == Some("mod") || (parts.len() == 1 && matches!(last, Some("lib" | "main"))) {
        parts.pop();
    }
    parts
}

/// Returns every import of a higher layer. Tests may import `fakes`.
fn upward(files: &[File]) -> Vec<String> {
    let place = |name: Option<&String>| {
        LAYERS.iter().position(|layer| Some(*layer) == name.map(String::as_str))
    };
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let Some(own) = place(file.module.first()) else {
            wrong.push(format!(
                "{}: is in no layer, expected one of {}",
                file.name,
                LAYERS.join(", ")
            ));
            continue;
        };
        for Import { line, path, is_test } in &file.imports {
            let is_upward = place(path.first()).is_none_or(|layer| layer > own);
            if is_upward && !(*is_test && path[0] == "fakes") {
                wrong.push(format!(
                    "{}:{line}: {} may not import crate::{}, only {}",
                    file.name,
                    LAYERS[own],
                    path.join("::"),
                    LAYERS[..=own].join(", ")
                ));
            }
        }
    }
    wrong
}

/// Imports between the modules of one folder: from, to, and where.
type Edges<'a> = BTreeMap<&'a str, BTreeMap<&'a str, String>>;

/// Returns the import cycles between modules of one folder. A module and the modules in its own folder may import
/// each other.
fn cycles(files: &[File]) -> Vec<String> {
    let modules: BTreeSet<&[String]> = files
        .iter()
        .flat_map(|file| (1..=file.module.len()).map(|length| &file.module[..length]))
        .collect();
    let mut folders: BTreeMap<&[String], Edges> = BTreeMap::new();
    for file in files {
        for Import { line, path, .. } in &file.imports {
            let same = file.module.iter().zip(path).take_while(|(own, other)| own == other).count();
            let (Some(own), Some(other)) = (file.module.get(same), path.get(same)) else {
                continue;
            };
            if modules.contains(&path[..=same]) {
                let edges = folders.entry(&file.module[..same]).or_default();
                let from = edges.entry(own).or_default();
                from.entry(other).or_insert_with(|| format!("{}:{line}", file.name));
            }
        }
    }
    folders
        .values()
        .flat_map(|edges| edges.keys().filter_map(|first| cycle(edges, first)))
        .collect()
}

/// Returns the shortest cycle from `first` through modules that come later in the alphabet.
fn cycle(edges: &Edges, first: &str) -> Option<String> {
    let mut ways = VecDeque::from([(first.to_owned(), String::new(), first)]);
    let mut seen = BTreeSet::new();
    while let Some((way, places, last)) = ways.pop_front() {
        for (&next, place) in edges.get(last).into_iter().flatten() {
            let (way, places) = (format!("{way} -> {next}"), format!("{places} {place}"));
            if next == first {
                return Some(format!("{way}, by the imports{places}"));
            }
            if next > first && seen.insert(next) {
                ways.push_back((way, places, next));
            }
        }
    }
    None
}

/// Returns the files of a crate, from the folder of its `lib.rs` or `main.rs`. The files in `bin` are separate crates.
fn crate_at(folder: &Path) -> Vec<File> {
    let mut texts = BTreeMap::new();
    read_folder(folder, "", &mut texts);
    files(texts.iter().map(|(name, text)| (name.clone(), text.as_str())))
}

fn read_folder(folder: &Path, below: &str, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "bin" {
            read_folder(&path, &format!("{below}{name}/"), texts);
        } else if name.ends_with(".rs") {
            texts.insert(format!("{below}{name}"), fs::read_to_string(path).unwrap());
        }
    }
}

/// Returns the source folder of each crate: libraries, programs, and test suites that are a folder.
fn crates() -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let packages = ["bench", "cli", "fuzz", "simulation", "tests"].map(|name| root().join(name));
    let grouped = ["crates", "functions"].map(|name| below(&root().join(name)));
    let packages = packages.into_iter().chain(grouped.into_iter().flatten());
    let sources = packages
        .flat_map(|package| [vec![package.join("src")], below(&package.join("tests"))].concat());
    sources
        .filter(|folder| folder.join("lib.rs").exists() || folder.join("main.rs").exists())
        .collect()
}

/// No module of `bcce-core` imports a layer above its own. Tests may import `fakes`.
#[test]
fn no_layer_of_the_core_imports_a_higher_one() {
    let wrong = upward(&crate_at(&root().join("crates/bcce-core/src")));
    assert!(wrong.is_empty(), "in crates/bcce-core/src:\n{}", wrong.join("\n"));
}

/// No crate of the workspace has modules that import each other in a cycle.
#[test]
fn no_modules_import_each_other_in_a_cycle() {
    let crates = crates();
    assert!(crates.len() > 20, "{crates:?}");
    let cycles = |folder: &PathBuf| {
        let name = folder.strip_prefix(root()).unwrap().display().to_string();
        cycles(&crate_at(folder))
            .into_iter()
            .map(move |cycle| format!("{name}: {cycle}"))
            .collect::<Vec<_>>()
    };
    let found: Vec<String> = crates.iter().flat_map(cycles).collect();
    assert!(found.is_empty(), "import cycles:\n{}", found.join("\n"));
}

fn samples(texts: &[(&str, &str)]) -> Vec<File> {
    files(texts.iter().map(|(name, text)| ((*name).to_owned(), *text)))
}

/// The check finds upward imports in every form and reports their file and line. It ignores comments, strings, and
/// imports of `fakes` in tests.
#[test]
fn an_upward_import_is_reported_with_its_place() {
    let found = upward(&samples(&[
        ("lib.rs", "pub mod base;\npub mod call;\npub use call::Call;"),
        (
            "call.rs",
            "use crate::{base::digest, run::{Run, step as s}};\n// crate::batch\nconst A: &str = \"crate::batch\";",
        ),
        (
            "call/answer.rs",
            "fn f<'a>(c: char) -> bool {\n c == '\"' || super::super::io::read() }\n",
        ),
        (
            "base.rs",
            "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::{\n  fakes::Store,\n};\nuse crate::fakes::Store;",
        ),
        ("base/tests.rs", "use super::*;\nuse crate::fakes::Store;\nuse crate::call::Call;"),
        ("other.rs", ""),
    ]));
    let expected = [
        "base.rs:7: base may not import crate::fakes::Store, only base",
        "base/tests.rs:3: base may not import crate::call::Call, only base",
        "call.rs:1: call may not import crate::run::Run, only base, document, config, call",
        "call.rs:1: call may not import crate::run::step, only base, document, config, call",
        "call/answer.rs:2: call may not import crate::io::read, only base, document, config, call",
    ];
    let mut found = found;
    found.sort();
    assert_eq!(found[..5], expected);
    assert!(found[5].starts_with("other.rs: is in no layer"), "{}", found[5]);
}

/// The check finds cycles through files, folders and inline modules, and reports the imports that make them.
#[test]
fn an_import_cycle_is_reported_with_its_way() {
    let found = cycles(&samples(&[
        ("main.rs", "mod a; mod b; mod c;"),
        ("a.rs", "pub mod d; use crate::b::B; use d::D;"),
        ("b/mod.rs", "mod tests { use super::super::c::C; }"),
        ("c.rs", "fn f() {\n  crate::a::g() }"),
        ("a/d.rs", "use super::{A, e::E};"),
        ("a/e.rs", "use self::inner::X;\nuse crate::a::{\n  d::{self, D},\n};"),
    ]));
    let expected = [
        "a -> b -> c -> a, by the imports a.rs:1 b/mod.rs:1 c.rs:2",
        "d -> e -> d, by the imports a/d.rs:1 a/e.rs:3",
    ];
    assert_eq!(found, expected);
}
