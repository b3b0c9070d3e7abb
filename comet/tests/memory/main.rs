//! Memory: what an idle connection has a comet keep, in bytes that are asked of the allocator. The one test of its
//! program: whatever another one allocated meanwhile would count as well.

// Tests stand outside the system: the real network and threads are theirs to use, and a panic is how
// they fail.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)]

mod devices;
mod logic;
#[path = "../support/patience.rs"]
mod patience;
mod secured;

use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cap::Cap;
use orrery_comet::{Config, Handle};
use orrery_host::Host;
use tokio::time::sleep;

use self::devices::{Device, Kind};
use self::patience::{PATIENCE, until};
use self::secured::Trust;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Connections that are there before the first look, and as many again as come until the second, times three.
const CONNECTIONS: usize = 500;

/// Most bytes of a connection, its parts of tables that double as they grow included. A task of tokio's takes 512 of
/// them, and what it knows of a socket 256. Within TLS rustls has its state, and what aws-lc has of C's allocator is
/// not counted. A session over HTTP is a connection as well, and its socket has another task and its buffers, which
/// stay as long as it does: hyper's, which are of 8 KiB each, and the 4 KiB that its first head was read into.
const BYTES_MAX: [(Kind, usize); 8] = [
    (Kind::Tcp, 1700),
    (Kind::WebSocket, 1700),
    (Kind::Json, 1700),
    (Kind::WebSocketInARoom, 2000),
    (Kind::TcpWithinTls, 4200),
    (Kind::WebSocketWithinTls, 4200),
    (Kind::Poll, 36_000),
    (Kind::Sse, 36_000),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_takes_no_more_of_its_comet_than_its_protocol_may() {
    let trust = Arc::new(Trust::new());
    for (kind, most) in BYTES_MAX {
        let comet = comet(&trust).await;
        let mut devices = Vec::with_capacity(4 * CONNECTIONS);
        connect(&comet, &trust, kind, CONNECTIONS, &mut devices).await;
        // What is to be given back is by then, so that it is not counted against the others.
        sleep(Duration::from_millis(1500)).await;
        let before = ALLOCATOR.allocated();
        connect(&comet, &trust, kind, 3 * CONNECTIONS, &mut devices).await;
        let each = || ALLOCATOR.allocated().saturating_sub(before) / (3 * CONNECTIONS);
        let began = Instant::now();
        while each() > most {
            assert!(began.elapsed() < PATIENCE, "{} bytes of {kind:?}, not {most}", each());
            sleep(Duration::from_millis(20)).await;
        }
        assert!(devices.iter().all(Device::is_open), "{kind:?}: what ended keeps nothing");
        drop(devices);
        comet.stop().await;
    }
}

async fn comet(trust: &Trust) -> Handle {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let host = Host::system();
    let logic = logic::start(&host).await;
    let config = Config {
        id: "comet-1".to_owned(),
        tcp_listen: any,
        websocket_listen: any,
        delivery_listen: any,
        logic: vec![logic.to_string()],
        workers: 1,
        // A connection of HTTP on which nothing is asked for so long is closed.
        handshake_ms: 600_000,
        tls: trust.config(),
        ..Config::default()
    };
    let comet = orrery_comet::start(config, host).await.unwrap();
    until("the attach", async || comet.ready().is_ok()).await;
    comet
}

async fn connect(
    comet: &Handle,
    trust: &Arc<Trust>,
    kind: Kind,
    count: usize,
    devices: &mut Vec<Device>,
) {
    let (address, trust) = (kind.address(comet), trust.clone());
    let (first, mut all) = (devices.len(), std::mem::take(devices));
    // They wait for their answers, and block while they do.
    let connected = tokio::task::spawn_blocking(move || {
        all.extend(
            (first..first + count).map(|number| Device::connect(address, kind, number, &trust)),
        );
        all
    });
    *devices = connected.await.unwrap();
}
