//! Router processes, and `orrery ctl` as a script would call it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tokio::process::Child;

use super::{DEADLINE, free, http, orrery, output, process, signal};

/// A router node as a process of its own, with addresses and a directory that it keeps over restarts.
pub(crate) struct Router {
    pub(crate) id: u64,
    pub(crate) registry: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Further settings (`key=value`) of the next start.
    pub(crate) settings: Vec<String>,
    /// Where it logs what it does by default; else warnings go where this test's do.
    pub(crate) log: Option<PathBuf>,
    pub(crate) peers: SocketAddr,
    path: PathBuf,
    child: Option<Child>,
}

impl Router {
    pub(crate) fn new(folder: &Path, id: u64) -> Self {
        Self::at(folder.join(format!("router-{id}")), id)
    }

    pub(crate) fn at(path: PathBuf, id: u64) -> Self {
        let (registry, admin, peers) = (free(), free(), free());
        Self { id, registry, admin, settings: Vec::new(), log: None, peers, path, child: None }
    }

    /// Starts the process and waits until it listens.
    pub(crate) async fn start(&mut self) {
        let settings = [
            format!("admin.listen={}", self.admin),
            format!("store.path={}", self.path.display()),
            format!("router.node_id={}", self.id),
            format!("router.registry_listen={}", self.registry),
            format!("router.peers_listen={}", self.peers),
        ];
        let quiet = ["telemetry.filter=warn,openraft=error".to_owned()];
        let quiet = quiet.iter().filter(|_| self.log.is_none());
        let mut arguments = vec!["router"];
        arguments.extend(
            settings.iter().chain(quiet).chain(&self.settings).flat_map(|set| ["--set", set]),
        );
        // A pipe that nobody reads would stop it once it is full.
        let stderr = match &self.log {
            Some(path) => {
                Stdio::from(File::options().append(true).create(true).open(path).unwrap())
            }
            None => Stdio::inherit(),
        };
        let child = orrery(&arguments).stderr(stderr).spawn().unwrap();
        self.child = Some(child);
        let listening = async {
            while tokio::net::TcpStream::connect(self.admin).await.is_err() {
                let ended = self.child.as_mut().unwrap().try_wait().unwrap();
                assert_eq!(ended, None, "router {} ended while starting", self.id);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, listening).await.expect("it starts");
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let ready = async {
            while http(self.admin, "GET", "/readyz", "").await.0 != 200 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, ready).await.expect("it becomes ready");
    }

    pub(crate) fn signal(&self, each: Signal) {
        signal(self.child.as_ref().unwrap(), each);
    }

    /// Stops the process and waits until it stands still. A signal alone stops it only once one of its
    /// threads gets a processor, and the others answer until then.
    pub(crate) async fn pause(&self) {
        self.signal(Signal::STOP);
        let process = process(self.child.as_ref().unwrap());
        let standing = async {
            let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
            while waitid(WaitId::Pid(process), look).unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(DEADLINE, standing).await.expect("it stands still");
    }

    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Waits until it has ended by itself; returns whether that was with success.
    pub(crate) async fn ended(&mut self) -> bool {
        let mut child = self.child.take().unwrap();
        let status = tokio::time::timeout(DEADLINE, child.wait()).await.expect("it ends");
        status.unwrap().success()
    }

    pub(crate) async fn stop(mut self) {
        self.end().await;
    }

    /// Ends it as an operator does; it can be started again.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::TERM);
        assert!(self.ended().await, "router {} did not end in order", self.id);
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
