//! Builds every function: links a release binary at a fixed address, so that the loader relocates nothing at start.
//! The relocation takes a tenth of a cold start's own time. A flag for the whole build would also apply to the one
//! dependency that builds a shared library, which has to be relocatable.

fn main() {
    println!("cargo::rerun-if-env-changed=PROFILE");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
