//! Fleet: a router, a logic and some comets, each a process with addresses that it keeps over restarts.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Child;

use crate::support::{DEADLINE, free, http, orrery, signal};

/// A role as a process.
pub(crate) struct Process {
    role: &'static str,
    pub(crate) admin: SocketAddr,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Process {
    fn new(role: &'static str, settings: Vec<String>) -> Self {
        Self { role, admin: free(), settings, child: None }
    }

    /// Starts it and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        let mut arguments = vec![self.role.to_owned()];
        let admin = format!("admin.listen={}", self.admin);
        let quiet = "telemetry.filter=error".to_owned();
        for setting in [admin, quiet].into_iter().chain(self.settings.iter().cloned()) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = orrery(&arguments);
        // A pipe that nobody reads would stop it once it is full.
        command.stderr(std::process::Stdio::inherit());
        self.child = Some(command.spawn().unwrap());
        let ready = async {
            loop {
                let ended = self.child.as_mut().unwrap().try_wait().unwrap();
                assert_eq!(ended, None, "a {} ended while starting", self.role);
                if tokio::net::TcpStream::connect(self.admin).await.is_ok() && self.is_ready().await
                {
                    return;
                }
                // A condition is waited for, not a time.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, ready).await.expect("it becomes ready");
    }

    pub(crate) async fn is_ready(&self) -> bool {
        http(self.admin, "GET", "/readyz", "").await.0 == 200
    }

    pub(crate) fn terminate(&self) {
        self.signals(&[Signal::TERM]);
    }

    pub(crate) fn signals(&self, signals: &[Signal]) {
        signals.iter().for_each(|each| signal(self.child.as_ref().unwrap(), *each));
    }

    /// Waits until it has ended, which it does with success.
    pub(crate) async fn ended(&mut self) {
        assert_eq!(self.code().await, 0, "a {} did not end in order", self.role);
    }

    /// Waits until it has ended; gives the code with which it did.
    pub(crate) async fn code(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let status = tokio::time::timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
        status.code().expect("it exits by itself")
    }
}

pub(crate) struct Fleet {
    pub(crate) registry: SocketAddr,
    /// Where backends push over HTTP.
    pub(crate) push: SocketAddr,
    pub(crate) comets: Vec<Process>,
    /// Where each of them takes TCP, and WebSocket.
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) websocket: Vec<SocketAddr>,
    _others: [Process; 2],
    _data: TempDir,
}

impl Fleet {
    /// Starts `comet-0` and so on, each with some settings.
    pub(crate) async fn start(comets: usize, settings: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        let [registry, peers, push, grpc, edge] = std::array::from_fn(|_| free());
        let mut router = Process::new(
            "router",
            vec![
                format!("store.path={}", data.path().join("data").display()),
                "router.found_alone=true".to_owned(),
                format!("router.registry_listen={registry}"),
                format!("router.peers_listen={peers}"),
            ],
        );
        let mut logic = Process::new(
            "logic",
            vec![
                "logic.auth=open".to_owned(),
                format!("logic.routers={registry}"),
                format!("logic.http_listen={push}"),
                format!("logic.grpc_listen={grpc}"),
                format!("logic.edge_listen={edge}"),
            ],
        );
        router.start().await;
        logic.start().await;
        let mut fleet = Self {
            registry,
            push,
            comets: Vec::new(),
            tcp: Vec::new(),
            websocket: Vec::new(),
            _others: [router, logic],
            _data: data,
        };
        for number in 0..comets {
            let [tcp, websocket, delivery] = std::array::from_fn(|_| free());
            let mut own = vec![
                format!("comet.id=comet-{number}"),
                format!("comet.logic={edge}"),
                format!("comet.tcp_listen={tcp}"),
                format!("comet.websocket_listen={websocket}"),
                format!("comet.delivery_listen={delivery}"),
                format!("comet.advertise.addresses={websocket}"),
            ];
            own.extend(settings.iter().map(|&setting| setting.to_owned()));
            let mut comet = Process::new("comet", own);
            comet.start().await;
            fleet.comets.push(comet);
            fleet.tcp.push(tcp);
            fleet.websocket.push(websocket);
        }
        fleet
    }
}
