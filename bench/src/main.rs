//! What a function takes: events one after the other to a release binary on a core of its own, from a Lambda
//! Runtime API and services that answer at once. `make bench` builds and pins both.
//!
//! usage: bench <directory of the binaries>

mod candidates; // what is measured: binary, environment, events, what an answer has to be
mod figures; // medians, percentiles, the table
mod instance; // one process of a function
mod server; // the Runtime API and the services, on one port

use std::path::PathBuf;
use std::process::ExitCode;

use figures::Round;

/// Each in turn, so that what else the machine does hits all alike.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let Some(binaries) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: bench <directory of the binaries>");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|r| r.block_on(measure(&binaries))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(binaries: &std::path::Path) -> Result<(), String> {
    let candidates = candidates::all();
    let mut rounds: Vec<Vec<Round>> = candidates.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for (candidate, rounds) in candidates.iter().zip(&mut rounds) {
            rounds.push(instance::run(binaries, candidate).await?);
        }
    }
    println!("{}", figures::HEADING);
    for (candidate, rounds) in candidates.iter().zip(&rounds) {
        println!("{}", figures::line(candidate, rounds));
    }
    Ok(())
}
