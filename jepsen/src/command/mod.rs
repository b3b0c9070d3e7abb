//! Commands: what the harness does when it is called.

pub mod bars;
pub mod check;
mod child;
pub mod doctor;
pub mod kill;
pub mod mutate;
pub mod process;
pub mod report;
pub mod seeded;
mod seeds;
pub mod shrink;
pub mod sim;
mod stop;
pub mod sum;

use std::fs;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use anyhow::Context as _;
use machine::{Ledger, MachineError};
use twox_hash::XxHash64;

/// Tells a person.
pub(crate) fn say(line: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Undoes what runs that were killed have left, and tells of it.
fn sweep(ledgers: &Path) -> Result<(), MachineError> {
    for undone in Ledger::sweep(ledgers)? {
        say(&format!("left by a run that was killed, undone: {undone}"));
    }
    Ok(())
}

/// The right of this process to a folder, until it is dropped or the process ends.
///
/// It is a name of the kernel's that only one socket can have, so that nothing is left behind by a kill.
struct Claim {
    _socket: UnixListener,
}

/// Makes a run's folder, or empties it. Not one that another run uses: what its nodes have on their disks would be
/// gone, and the system would be blamed for it.
fn fresh(folder: &Path) -> anyhow::Result<Claim> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let real = folder.canonicalize().with_context(|| format!("find {}", folder.display()))?;
    // A path may be longer than such a name.
    let name = format!("orrery-jepsen/{:016x}", XxHash64::oneshot(0, real.as_os_str().as_bytes()));
    let address = SocketAddr::from_abstract_name(name)?;
    let socket = UnixListener::bind_addr(&address)
        .with_context(|| format!("{} is in use by another run", folder.display()))?;
    fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(Claim { _socket: socket })
}
