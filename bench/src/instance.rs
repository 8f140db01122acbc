use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::candidates::Candidate;
use crate::figures::Round;
use crate::server::{Session, serve};

/// The number of events before the measurement. They open connections and fill caches.
const WARM_UP: usize = 200;
/// The number of measured events.
const COUNTED: usize = 2_000;
/// The time limit of a process. A call takes a millisecond, so a process that exceeds the limit hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// The CPU core of the function. The bench itself runs on core 0.
const CORE: &str = "1";

/// Starts a process of a function, sends it all events and returns the measurements.
///
/// # Errors
/// A sentence: the process cannot be started, gives a wrong answer, or does not finish in time.
pub async fn run(binaries: &Path, candidate: &Candidate) -> Result<Round, String> {
    let reported = |error: std::io::Error| format!("{}: {error}", candidate.name);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(reported)?;
    let port = listener.local_addr().map_err(reported)?.port();
    let session = Session::new(candidate, WARM_UP + COUNTED);
    let server = tokio::spawn(serve(listener, session.clone()));
    let started = Instant::now();
    let mut process = spawn(binaries, candidate, port).map_err(reported)?;
    let over = tokio::time::timeout(PATIENCE, session.over.notified()).await;
    let memory_kb = memory_kb(&process);
    let _ = process.kill();
    let _ = process.wait();
    server.abort();
    over.map_err(|_| format!("{}: did not finish within {PATIENCE:?}", candidate.name))?;
    let seen = session.seen().map_err(|wrong| format!("{}: {wrong}", candidate.name))?;
    let took = seen.took[WARM_UP..].to_vec();
    Ok(Round { init: seen.ready - started, took, memory_kb })
}

fn spawn(binaries: &Path, candidate: &Candidate, port: u16) -> std::io::Result<Child> {
    let here = format!("127.0.0.1:{port}");
    Command::new("taskset")
        .args(["--cpu-list", CORE])
        .arg(binaries.join(candidate.name))
        .env_clear()
        .envs(candidate.environment.iter().copied())
        .env("AWS_LAMBDA_RUNTIME_API", &here)
        .env("AWS_ENDPOINT_URL", format!("http://{here}"))
        .env("AWS_LAMBDA_FUNCTION_NAME", candidate.name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "log")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "log")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stderr(Stdio::null())
        .spawn()
}

/// Returns the resident memory of a process, in KiB.
fn memory_kb(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
