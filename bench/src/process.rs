//! Runs one process of a candidate and measures it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::candidates::Candidate;
use crate::server::{self, Limit, Seen, Session};
use crate::usage;

/// The longest time of a process. A process that exceeds it hangs.
const PATIENCE: Duration = Duration::from_secs(300);
/// The CPU core of the candidates. The bench itself runs on core 0.
const CORE: &str = "1";

/// Starts processes on a core of their own. A thread that is bound to the core starts them, because a process inherits
/// the core. A program that binds it, such as `taskset`, would be a part of its start.
pub struct Starter(Sender<(Command, Sender<std::io::Result<Child>>)>);

impl Starter {
    /// # Errors
    /// A sentence: the thread cannot be bound to the core.
    pub fn new() -> Result<Self, String> {
        let (sender, receiver) = channel::<(Command, Sender<std::io::Result<Child>>)>();
        let (bound, is_bound) = channel();
        std::thread::spawn(move || {
            let _ = bound.send(bind());
            for (mut command, started) in receiver {
                let _ = started.send(command.spawn());
            }
        });
        is_bound.recv().map_err(|error| error.to_string())??;
        Ok(Self(sender))
    }

    fn start(&self, command: Command) -> std::io::Result<Child> {
        let (sender, started) = channel();
        self.0.send((command, sender)).map_err(std::io::Error::other)?;
        started.recv().map_err(std::io::Error::other)?
    }
}

/// Binds the calling thread to the core.
fn bind() -> Result<(), String> {
    let thread = std::fs::read_link("/proc/thread-self").map_err(|error| error.to_string())?;
    let thread = thread.file_name().unwrap_or_default();
    let bound = Command::new("taskset").args(["--pid", "--cpu-list", CORE]).arg(thread).output();
    match bound {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("taskset: {error}")),
    }
}

/// The way in which a process reaches the services.
pub enum Reached {
    Plain,
    /// Over TLS. `bundle` is the file with the certificate that the process has to trust.
    Tls {
        acceptor: TlsAcceptor,
        bundle: PathBuf,
    },
}

/// The measurements of a process.
pub struct Round {
    /// The time from the start of the process to its first request for an event.
    pub init: Duration,
    /// The time from each event to its answer.
    pub took: Vec<Duration>,
    /// The CPU time from each event to the request for the next one.
    pub cpu: Vec<Duration>,
    /// The peak of the resident memory, in KiB.
    pub memory_kb: u64,
}

/// Starts a process of a candidate, sends it events and returns the measurements. `wrapper` is a program with its
/// arguments that runs the candidate, such as a profiler.
///
/// # Errors
/// A sentence: the process cannot be started, gives a wrong answer, makes a request that was not recorded, or does not
/// finish in time.
pub async fn run(
    starter: &Starter,
    candidate: &Candidate,
    reached: &Reached,
    wrapper: &[OsString],
    limit: Limit,
) -> Result<Round, String> {
    let named = |what: String| format!("{}: {what}", candidate.name);
    let reported = |error: std::io::Error| named(error.to_string());
    let session = Session::new(candidate, limit);
    let runtime = TcpListener::bind("127.0.0.1:0").await.map_err(reported)?;
    let services = TcpListener::bind("127.0.0.1:0").await.map_err(reported)?;
    let command = command(candidate, wrapper, reached, port(&runtime)?, port(&services)?);
    let acceptor = match reached {
        Reached::Plain => None,
        Reached::Tls { acceptor, .. } => Some(acceptor.clone()),
    };
    let servers = [
        tokio::task::spawn_local(server::serve(runtime, session.clone(), None)),
        tokio::task::spawn_local(server::serve(services, session.clone(), acceptor)),
    ];
    let started = Instant::now();
    let mut process = starter.start(command).map_err(reported)?;
    session.watch(process.id());
    let over = tokio::select! {
        () = session.over.notified() => Ok(()),
        why = given_up(&mut process) => Err(why),
    };
    let memory_kb = usage::memory_kb(process.id());
    end(&mut process);
    servers.iter().for_each(tokio::task::JoinHandle::abort);
    let Seen { ready, took, cpu, wrong } = session.seen();
    if let Some(wrong) = wrong {
        return Err(named(wrong));
    }
    over.map_err(named)?;
    let ready = ready.ok_or_else(|| named("never asked for an event".to_owned()))?;
    Ok(Round { init: ready - started, took, cpu, memory_kb })
}

/// Waits until a process ends or its time is over. Returns which of the two it was.
async fn given_up(process: &mut Child) -> String {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Ok(Some(status)) = process.try_wait() {
            return format!("ended with {status}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    format!("did not finish within {PATIENCE:?}")
}

fn port(listener: &TcpListener) -> Result<u16, String> {
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn command(
    candidate: &Candidate,
    wrapper: &[OsString],
    reached: &Reached,
    runtime: u16,
    services: u16,
) -> Command {
    let scheme = if matches!(reached, Reached::Plain) { "http" } else { "https" };
    let endpoint = format!("{scheme}://127.0.0.1:{services}");
    let mut words = wrapper.iter().chain(&candidate.command);
    let mut command = Command::new(words.next().map(OsString::as_os_str).unwrap_or_default());
    command
        .args(words)
        .env_clear()
        .envs(&candidate.scene[0].environment)
        .env("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{runtime}"))
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "log")
        // Nothing listens there. A span is sent in the same way.
        .env("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:9")
        .env("AWS_ENDPOINT_URL", &endpoint)
        .env("AWS_ENDPOINT_URL_BEDROCK", format!("{endpoint}/{{region}}"))
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", format!("{endpoint}/{{region}}"))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Reached::Tls { bundle, .. } = reached {
        command.env("AWS_CA_BUNDLE", bundle).env("NODE_EXTRA_CA_CERTS", bundle);
    }
    command
}

/// Ends a process by SIGTERM, at which a profiler writes its results.
fn end(process: &mut Child) {
    let _ = Command::new("kill").arg(process.id().to_string()).status();
    let _ = process.wait();
}
