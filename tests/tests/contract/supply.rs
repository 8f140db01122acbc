//! Checks that everything that is downloaded to build and check this project is pinned to reviewed content.

use std::fs;

use crate::template::{read, root};

/// Each GitHub action is named by its commit. A tag could be moved to other code.
#[test]
fn an_action_is_named_by_its_commit() {
    let workflows = fs::read_dir(root().join(".github/workflows")).unwrap();
    let mut seen = 0;
    for workflow in workflows {
        let path = workflow.unwrap().path();
        let body = fs::read_to_string(&path).unwrap();
        for line in body.lines().filter(|line| line.contains("uses:")) {
            let (_, used) = line.split_once("uses:").unwrap();
            let (action, version) = used.trim().split_once(" # v").unwrap_or((used.trim(), ""));
            let commit = action.split_once('@').map_or("", |(_, commit)| commit);
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit, "{}: {line}: expected @<40 hex digits>", path.display());
            assert!(!version.is_empty(), "{}: {line}: expected `# v<version>`", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no workflow uses an action");
}

/// Each Python package has a version and digests. pip then installs only files with a listed digest
/// (`--require-hashes`) and no further packages (`--no-deps`).
#[test]
fn every_python_package_has_its_digests() {
    for list in [
        "infra/local/requirements.txt",
        "infra/local/requirements-deploy.txt",
        "bench/python/requirements.txt",
    ] {
        let body = read(list).replace("\\\n", " ");
        let packages: Vec<&str> =
            body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert!(!packages.is_empty(), "{list} lists nothing");
        for package in packages {
            let pinned = package.contains("==") && package.contains("--hash=sha256:");
            assert!(pinned, "{list}: {package}: expected a version and its digests: `make lock`");
        }
    }
    let makefile = read("Makefile");
    assert!(makefile.contains("PIP_INSTALL = install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:\n"));
    let calls = makefile.lines().filter(|line| line.contains("bin/pip "));
    let by_hand: Vec<&str> =
        calls.filter(|line| !line.contains("bin/pip $(PIP_INSTALL) ")).collect();
    // `make lock` installs the program that makes the lists.
    assert!(matches!(by_hand[..], [uv] if uv.contains(" uv==")), "{by_hand:?}");
}

/// No Node package runs a script when it is installed, which would run with the developer's rights, and each package
/// has a digest.
#[test]
fn no_script_of_a_node_package_runs_and_each_has_its_digest() {
    let installs = read("Makefile");
    let installs: Vec<&str> = installs.lines().filter(|line| line.contains("npm ")).collect();
    assert_eq!(
        installs,
        [
            "\tcd bench/node && npm ci --no-audit --no-fund --ignore-scripts",
            "\tnpm ci --no-audit --no-fund --ignore-scripts"
        ]
    );
    for path in ["package-lock.json", "bench/node/package-lock.json"] {
        let lock: serde_json::Value = serde_json::from_str(&read(path)).unwrap();
        let packages = lock["packages"].as_object().unwrap().iter();
        // The entry without a name is this project.
        for (name, package) in packages.filter(|(name, _)| !name.is_empty()) {
            assert!(package["integrity"].is_string(), "{path}: {name} has no integrity");
        }
    }
}
