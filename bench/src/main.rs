//! Measures the time and the memory of functions. Sends events one after the other to a release binary on its own CPU
//! core. A stand-in for the Lambda Runtime API and the AWS services answers the binary at once. `make bench` builds the
//! binaries and pins this process to a core.
//!
//! Usage: `bench <directory of the binaries>`

mod candidates; // the functions to measure: binary, environment, events, expected answers
mod figures; // medians, percentiles, the table
mod instance; // one process of a function
mod server; // the Runtime API and the services, on one port

use std::path::PathBuf;
use std::process::ExitCode;

use figures::Round;

/// The number of rounds. Each round measures all functions in turn, so that other load on the machine affects all of
/// them.
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
