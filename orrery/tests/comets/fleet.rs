//! Fleet: a router, a logic and some comets, each a process with addresses that it keeps over restarts.

use std::net::SocketAddr;

use rcgen::generate_simple_self_signed;
use tempfile::TempDir;

use crate::support::free;
use crate::support::process::Process;

/// What these processes log.
const FILTER: &str = "error";

pub(crate) struct Fleet {
    pub(crate) registry: SocketAddr,
    /// Where backends push over HTTP.
    pub(crate) push: SocketAddr,
    pub(crate) comets: Vec<Process>,
    /// Where each of them takes TCP, and WebSocket.
    pub(crate) tcp: Vec<SocketAddr>,
    pub(crate) websocket: Vec<SocketAddr>,
    /// Where each of them takes both within TLS.
    pub(crate) secured_tcp: Vec<SocketAddr>,
    pub(crate) secured_websocket: Vec<SocketAddr>,
    /// What all of them show there, in PEM.
    pub(crate) certificate: String,
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
            FILTER,
            vec![
                format!("store.path={}", data.path().join("data").display()),
                "router.found_alone=true".to_owned(),
                format!("router.registry_listen={registry}"),
                format!("router.peers_listen={peers}"),
            ],
        );
        let mut logic = Process::new(
            "logic",
            FILTER,
            vec![
                "logic.auth=open".to_owned(),
                format!("logic.routers={registry}"),
                format!("logic.http_listen={push}"),
                format!("logic.grpc_listen={grpc}"),
                format!("logic.edge_listen={edge}"),
            ],
        );
        for process in [&mut router, &mut logic] {
            process.start().await;
            process.ready().await;
        }
        let signed = generate_simple_self_signed([registry.ip().to_string()]).unwrap();
        let [certificate, key] = ["comet.pem", "comet.key"].map(|name| data.path().join(name));
        std::fs::write(&certificate, signed.cert.pem()).unwrap();
        std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
        let mut fleet = Self {
            registry,
            push,
            comets: Vec::new(),
            tcp: Vec::new(),
            websocket: Vec::new(),
            secured_tcp: Vec::new(),
            secured_websocket: Vec::new(),
            certificate: signed.cert.pem(),
            _others: [router, logic],
            _data: data,
        };
        for number in 0..comets {
            let [tcp, websocket, secured_tcp, secured_websocket, delivery] =
                std::array::from_fn(|_| free());
            let mut own = vec![
                format!("comet.id=comet-{number}"),
                format!("comet.logic={edge}"),
                format!("comet.tcp_listen={tcp}"),
                format!("comet.websocket_listen={websocket}"),
                format!("comet.delivery_listen={delivery}"),
                format!("comet.advertise.addresses={websocket}"),
                format!("comet.tls.certificates={}", certificate.display()),
                format!("comet.tls.keys={}", key.display()),
                format!("comet.tls.tcp_listen={secured_tcp}"),
                format!("comet.tls.websocket_listen={secured_websocket}"),
            ];
            own.extend(settings.iter().map(|&setting| setting.to_owned()));
            let mut comet = Process::new("comet", FILTER, own);
            comet.start().await;
            comet.ready().await;
            fleet.comets.push(comet);
            fleet.tcp.push(tcp);
            fleet.websocket.push(websocket);
            fleet.secured_tcp.push(secured_tcp);
            fleet.secured_websocket.push(secured_websocket);
        }
        fleet
    }
}
