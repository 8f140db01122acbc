//! Measures functions on one CPU core. Replays what they received and exchanged on a local stack
//! (`infra/local/recording.py`), and answers at once in the place of the services. Beside them it measures a handler that
//! does nothing, and the requests of `invoke` on hyper, in Python and in Node. `make bench` records, builds and pins this
//! process to a core.
//!
//! Usage: `bench <recording> <directory of the binaries> [--check | --once] [<part of a name>]`
//!
//! `--check` compares the table with the budgets ([`budgets`]) and fails if one is exceeded. `--once` measures nothing: it
//! shows that each binary can be replayed. A part of a name selects candidates.

mod budgets; // the limits of the figures
mod candidates; // what is measured
mod figures; // medians, percentiles, the table
mod instructions; // counts by callgrind
mod process; // one process of a candidate
mod recording; // what functions received and exchanged
mod server; // the Runtime API and the services
mod usage; // what /proc says of a process

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use candidates::{Candidate, Kind};
use figures::Row;
use process::{Reached, Round, Starter};
use recording::Recording;
use server::Limit;

/// The number of rounds. Each round measures all candidates in turn, so that other load on the machine affects all of
/// them.
const ROUNDS: usize = 5;
/// The number of processes of each candidate whose start is measured, also in turn.
const STARTS: usize = 25;
/// The events of a process in a round. Only those of an interpreter may take longer than the time.
const EVENTS: Limit = Limit { events: 500, time: Duration::from_secs(20) };

/// The roots that the functions trust on AWS.
const AMAZON_ROOTS: &str = include_str!("../../crates/bcce-aws/src/amazon-roots.pem");

struct Arguments {
    recording: PathBuf,
    binaries: PathBuf,
    is_check: bool,
    is_once: bool,
    part: String,
}

fn arguments() -> Option<Arguments> {
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| given.iter().any(|argument| argument == flag);
    let (is_check, is_once) = (has("--check"), has("--once"));
    given.retain(|argument| !["--check", "--once"].contains(&argument.as_str()));
    let mut given = given.into_iter();
    let (recording, binaries) = (given.next()?.into(), given.next()?.into());
    let part = given.next().unwrap_or_default();
    Some(Arguments { recording, binaries, is_check, is_once, part })
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("usage: bench <recording> <binaries> [--check | --once] [<part of a name>]");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, measure(&arguments)));
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the candidates and prints the table. Returns whether no budget is exceeded.
async fn measure(arguments: &Arguments) -> Result<bool, String> {
    let recording: &'static Recording = Box::leak(Recording::read(&arguments.recording)?.into());
    let folder = arguments.recording.parent().unwrap_or(Path::new("."));
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut candidates = candidates::all(recording, &arguments.binaries, root);
    // The others are compared with the handler that does nothing.
    let is_wanted = |name: &str| name.contains(&arguments.part);
    candidates.retain(|candidate| candidate.kind == Kind::Nothing || is_wanted(&candidate.name));
    let starter = Starter::new()?;
    let tls = tls(recording, folder)?;
    if arguments.is_once {
        replay(&starter, candidates, &tls).await?;
        return Ok(true);
    }
    let before = load();
    let rows = rows(&starter, &candidates, &tls, folder).await?;
    println!("{}", figures::HEADING);
    rows.iter().for_each(|row| println!("{}", row.line()));
    println!("\nload of the machine: {before} before, {} at the end", load());
    figures::compared(&rows).iter().for_each(|sentence| println!("{sentence}"));
    if !arguments.is_check {
        return Ok(true);
    }
    let verdicts = budgets::verdicts(&rows)?;
    verdicts.iter().for_each(|verdict| println!("{verdict}"));
    Ok(verdicts.iter().all(budgets::Verdict::is_kept))
}

/// Prepares services over TLS. A process trusts their certificate beside the roots that a function has on AWS.
fn tls(recording: &Recording, folder: &Path) -> Result<Reached, String> {
    let bundle = folder.join("certificate.pem");
    std::fs::write(&bundle, format!("{AMAZON_ROOTS}{}", recording.certificate[0]))
        .map_err(|error| format!("{}: {error}", bundle.display()))?;
    Ok(Reached::Tls { acceptor: server::acceptor(&recording.certificate)?, bundle })
}

/// Sends each binary the invocations of its scene, without and with TLS.
async fn replay(
    starter: &Starter,
    mut candidates: Vec<Candidate>,
    tls: &Reached,
) -> Result<(), String> {
    candidates.retain(|candidate| candidate.binary().is_some());
    let longest = candidates.iter().map(|candidate| candidate.scene.len()).max();
    let limit = Limit { events: longest.unwrap_or_default(), ..EVENTS };
    for reached in [&Reached::Plain, tls] {
        round(starter, &candidates, reached, limit).await?;
    }
    println!("{} were replayed", candidates.len());
    Ok(())
}

/// Measures everything of each candidate.
async fn rows(
    starter: &Starter,
    candidates: &[Candidate],
    tls: &Reached,
    folder: &Path,
) -> Result<Vec<Row>, String> {
    let only = |events| Limit { events, ..EVENTS };
    let started = rounds(starter, candidates, &Reached::Plain, only(0), STARTS).await?;
    let warm = rounds(starter, candidates, &Reached::Plain, EVENTS, ROUNDS).await?;
    let first = rounds(starter, candidates, tls, only(1), ROUNDS).await?;
    let mut rows = Vec::new();
    for (n, candidate) in candidates.iter().enumerate() {
        eprintln!("instructions and sizes of {}", candidate.name);
        let (mut instructions, mut sizes) = (None, None);
        if let Some(binary) = candidate.binary() {
            sizes = Some(figures::sizes(&binary, folder)?);
            if instructions::is_available() {
                instructions = Some(instructions::count(starter, candidate, folder).await?);
            }
        }
        let started = [started[n].as_slice(), &started[0]];
        rows.push(Row::new(candidate, started, &warm[n], &first[n], instructions, sizes));
    }
    Ok(rows)
}

/// Measures all candidates in turn, round after round. Returns the rounds of each candidate.
async fn rounds(
    starter: &Starter,
    candidates: &[Candidate],
    reached: &Reached,
    limit: Limit,
    count: usize,
) -> Result<Vec<Vec<Round>>, String> {
    let mut all: Vec<Vec<Round>> = candidates.iter().map(|_| Vec::new()).collect();
    for number in 1..=count {
        eprintln!("round {number} of {count}");
        for (rounds, measured) in
            all.iter_mut().zip(round(starter, candidates, reached, limit).await?)
        {
            rounds.extend(measured);
        }
    }
    Ok(all)
}

/// Measures all candidates once. Returns `None` for those that cannot reach the services in that way.
async fn round(
    starter: &Starter,
    candidates: &[Candidate],
    reached: &Reached,
    limit: Limit,
) -> Result<Vec<Option<Round>>, String> {
    let mut measured = Vec::new();
    for candidate in candidates {
        let is_able = matches!(reached, Reached::Plain) || candidate.has_tls();
        measured.push(match is_able {
            true => Some(process::run(starter, candidate, reached, &[], limit).await?),
            false => None,
        });
    }
    Ok(measured)
}

/// Returns the load of the last minute. At the end, the bench itself is most of it.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or_default().to_owned()
}
