//! Finds and kills the process at the other end of a local connection, with the help of Linux's `/proc`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The environment variable that Lambda sets for every function. A process without it is never killed, because a person
/// may run a script with another client.
const FUNCTION: &[u8] = b"AWS_LAMBDA_FUNCTION_NAME=";

/// Kills the function at `peer`, as if its host had failed: the function stores and reports nothing more.
pub fn kill(peer: SocketAddr) {
    let Some(process) = process_at(peer) else {
        // The test that follows fails for a reason that is not its own.
        eprintln!("the process at {peer} was not found, so nothing was killed");
        return;
    };
    if let Some(id) = process.file_name().filter(|_| is_function(&process)) {
        // The process may have ended by itself, so the result is ignored.
        let _ = Command::new("kill").arg("-9").arg(id).status();
    }
}

/// The number of times that the process is looked for. The kernel returns its table of connections in pieces, so that
/// one read can miss a connection while others open and close.
const LOOKS: usize = 20;
/// The time between two of them. On a busy machine the table goes on changing for a while.
const PAUSE: Duration = Duration::from_millis(5);

/// Returns the directory `/proc/<id>` of the process whose end of the connection is `peer`.
fn process_at(peer: SocketAddr) -> Option<PathBuf> {
    (0..LOOKS).find_map(|look| {
        if look > 0 {
            std::thread::sleep(PAUSE);
        }
        owner(&inode_of(&std::fs::read_to_string("/proc/net/tcp").ok()?, peer)?)
    })
}

/// Returns the inode of the socket in `table`, which has the format of `/proc/net/tcp`. Its addresses are in the byte
/// order of the machine.
fn inode_of(table: &str, peer: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = peer.ip() else { return None };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), peer.port());
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = fields.filter(|fields| fields.get(1) == Some(&local.as_str()));
    found.find_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
}

/// Returns the directory `/proc/<id>` of the process that has the socket open.
fn owner(inode: &str) -> Option<PathBuf> {
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let has = |process: &Path| {
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        open.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| to == socket)
    };
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    // Only numeric names are processes. `self` is a link to one of them.
    let processes =
        entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    processes.map(|entry| entry.path()).find(|process| has(process))
}

fn is_function(process: &Path) -> bool {
    let environment = std::fs::read(process.join("environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(FUNCTION))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_other_side_of_a_connection_is_found_and_spared_if_it_is_no_function() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = client.local_addr().unwrap();
        let process = process_at(peer).unwrap();
        assert_eq!(process, PathBuf::from(format!("/proc/{}", std::process::id())));
        assert!(!is_function(&process));
        kill(peer);
    }

    #[test]
    fn the_table_of_connections_is_read_by_the_local_address() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
            1: 0100007F:A1B2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 22 1\n";
        let at = |port| inode_of(table, SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!((at(0xA1B2), at(0x1F91)), (Some("22".to_owned()), None));
    }
}
