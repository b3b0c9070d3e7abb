//! Process: a role of the binary with an address for its admin port that it keeps over restarts.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::{DEADLINE, free, http, orrery, process, signal};

/// A role as a process.
pub(crate) struct Process {
    role: &'static str,
    pub(crate) admin: SocketAddr,
    /// Settings (`key=value`) of every start.
    own: Vec<String>,
    /// Further ones of the next start.
    pub(crate) settings: Vec<String>,
    /// What it logs where it does not do so by default into a file.
    filter: &'static str,
    /// Where it logs what it does by default; else what the filter lets through goes where this test's do.
    pub(crate) log: Option<PathBuf>,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(role: &'static str, filter: &'static str, own: Vec<String>) -> Self {
        Self { role, admin: free(), own, settings: Vec::new(), filter, log: None, child: None }
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&mut self) {
        let mut own = vec![format!("admin.listen={}", self.admin)];
        if self.log.is_none() {
            own.push(format!("telemetry.filter={}", self.filter));
        }
        let mut arguments = vec![self.role];
        let settings = own.iter().chain(&self.own).chain(&self.settings);
        arguments.extend(settings.flat_map(|set| ["--set", set]));
        // A pipe that nobody reads would stop it once it is full.
        let stderr = match &self.log {
            Some(path) => {
                Stdio::from(File::options().append(true).create(true).open(path).unwrap())
            }
            None => Stdio::inherit(),
        };
        self.child = Some(orrery(&arguments).stderr(stderr).spawn().unwrap());
        let listening = async {
            while TcpStream::connect(self.admin).await.is_err() {
                let ended = self.child.as_mut().unwrap().try_wait().unwrap();
                assert_eq!(ended, None, "{} ended while starting", self.name());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, listening).await.expect("it starts");
    }

    pub(crate) async fn is_ready(&self) -> bool {
        http(self.admin, "GET", "/readyz", "").await.0 == 200
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let ready = async {
            while !self.is_ready().await {
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

    /// Waits until it has ended by itself; gives the code with which it did.
    pub(crate) async fn code(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let status = tokio::time::timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
        status.code().expect("it exits by itself")
    }

    /// Waits until it has ended in order.
    pub(crate) async fn ended(&mut self) {
        assert_eq!(self.code().await, 0, "{} did not end in order", self.name());
    }

    /// Ends it as an operator does; it can be started again.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::TERM);
        self.ended().await;
    }

    fn name(&self) -> String {
        format!("the {} with the admin port {}", self.role, self.admin)
    }
}
