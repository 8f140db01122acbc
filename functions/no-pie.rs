//! Build script of every function: a release binary is linked at a fixed address. There is then nothing
//! to relocate at start, which is a tenth of a cold start's own time. A flag for the whole build would
//! also reach the one dependency that builds a shared library, which cannot do without.

fn main() {
    println!("cargo::rerun-if-env-changed=PROFILE");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
