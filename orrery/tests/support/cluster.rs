//! Router processes, and `orrery ctl` as a script would call it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::process::Process;
use super::{free, orrery, output};

/// A router node as a process of its own, with addresses and a directory that it keeps over restarts.
pub(crate) struct Router {
    pub(crate) id: u64,
    pub(crate) registry: SocketAddr,
    pub(crate) peers: SocketAddr,
    process: Process,
}

impl Router {
    pub(crate) fn new(folder: &Path, id: u64) -> Self {
        Self::at(folder.join(format!("router-{id}")), id)
    }

    pub(crate) fn at(path: PathBuf, id: u64) -> Self {
        let (registry, peers) = (free(), free());
        let settings = vec![
            format!("store.path={}", path.display()),
            format!("router.node_id={id}"),
            format!("router.registry_listen={registry}"),
            format!("router.peers_listen={peers}"),
        ];
        let process = Process::new("router", "warn,openraft=error", settings);
        Self { id, registry, peers, process }
    }

    /// Waits until it has ended by itself; returns whether that was with success.
    pub(crate) async fn succeeded(&mut self) -> bool {
        self.process.code().await == 0
    }

    pub(crate) async fn stop(mut self) {
        self.process.end().await;
    }
}

/// It is one: whatever is done to a process is done to a router.
impl Deref for Router {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Router {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Starts nodes with these numbers.
pub(crate) async fn start<const N: usize>(folder: &Path, ids: [u64; N]) -> [Router; N] {
    let mut routers = ids.map(|id| Router::new(folder, id));
    for router in &mut routers {
        router.start().await;
    }
    routers
}

/// The registry addresses of nodes, as `ctl` takes them.
pub(crate) fn addresses(routers: &[Router]) -> String {
    let addresses: Vec<_> = routers.iter().map(|router| router.registry.to_string()).collect();
    addresses.join(",")
}

/// What a command of `ctl` came to.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

/// Runs a command of `ctl` with `--json` against some nodes.
pub(crate) async fn try_ctl(routers: &str, arguments: &[&str]) -> Told {
    let arguments = [&["ctl", "--json", "--router", routers], arguments].concat();
    let output = output(orrery(&arguments)).await;
    let stdout = String::from_utf8(output.stdout).unwrap();
    Told {
        code: output.status.code().expect("it exits by itself"),
        json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command that succeeds, and returns what it says.
pub(crate) async fn ctl(routers: &str, arguments: &[&str]) -> Value {
    let told = try_ctl(routers, arguments).await;
    assert_eq!(told.code, 0, "{arguments:?}: {told:?}");
    told.json
}
