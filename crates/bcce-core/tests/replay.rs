//! Runs the texts of the fuzzing corpus through the checks of the fuzz targets. `make fuzz` searches for new texts.

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::Path;

/// Returns every text of `fuzz/corpus/<target>`.
fn replay(target: &str, check: fn(&str)) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut texts = 0;
    for entry in corpus.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = String::from_utf8(std::fs::read(&path).unwrap()) else { continue };
        // The name is printed before the text runs, because not every failure is a panic.
        println!("{}", path.display());
        check(&text);
        texts += 1;
    }
    assert!(texts > 0, "{target} has no corpus");
}

#[test]
fn requests() {
    replay("request", fuzz::request);
}

#[test]
fn templates() {
    replay("template", fuzz::template);
}

#[test]
fn prompts() {
    replay("prompt", fuzz::prompt);
}

#[test]
fn calls() {
    replay("call", fuzz::call);
}

#[test]
fn mappings() {
    replay("mapping", fuzz::mapping);
}

#[test]
fn shipped_workflows() {
    let workflows = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/config/dev/workflows");
    assert_eq!(
        workflows.read_dir().unwrap().count(),
        fuzz::SHIPPED.len(),
        "one is not in the list"
    );
    replay("shipped", fuzz::shipped);
}
