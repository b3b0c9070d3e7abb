//! Peer ports: where the nodes of a cluster reached each other when it last ran.
//!
//! Nodes find each other under the addresses that their cluster remembers. With free ports for everything
//! all of them would be elsewhere after a restart, and no two of them could agree on where.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Config;

/// The file beside the nodes' folders: a port a line, the first node's first.
const FILE: &str = "peer-ports";

/// Replaces the free ports that peers would take by those that they had.
pub(super) fn take(data: &Path, routers: &mut [Config]) {
    // Unreadable is as good as new: then there is nothing to find again either.
    let text = fs::read_to_string(path(data)).unwrap_or_default();
    for (config, line) in routers.iter_mut().zip(text.lines()) {
        let listen = &mut config.router.peers_listen;
        if let (0, Ok(port)) = (listen.port(), line.parse()) {
            listen.set_port(port);
        }
    }
}

/// Remembers the ports that peers have.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn remember(data: &Path, routers: &[Config]) -> anyhow::Result<()> {
    let ports = routers.iter().map(|config| config.router.peers_listen.port());
    let text: String = ports.map(|port| format!("{port}\n")).collect();
    let path = path(data);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}
