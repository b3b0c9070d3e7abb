//! The admin port, in process, on port 0.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use orrery_daemon::admin::{self, Admin, AdminConfig, AdminError, Health, Surface};
use orrery_host::Host;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn open(surface: Surface) -> (Host, Admin) {
    let host = Host::system();
    let config = AdminConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let admin = admin::start(&config, &host, surface).await.unwrap();
    (host, admin)
}

/// Sends one request and returns all of the answer.
async fn ask(host: &Host, address: SocketAddr, request: &str) -> String {
    let mut stream = host.net.connect(&address.to_string()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get_path(host: &Host, admin: &Admin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    ask(host, admin.address(), &request).await
}

#[tokio::test]
async fn readiness_follows_the_checks_and_the_drain() {
    let up = Arc::new(AtomicBool::new(false));
    let health = Health::default().check("router", || Ok(())).check("logic", {
        let up = up.clone();
        move || up.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "no slot table".to_owned())
    });
    let (host, admin) = open(Surface { health, ..Surface::default() }).await;

    let answer = get_path(&host, &admin, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let answer = get_path(&host, &admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("[-] logic failed: no slot table\nnot ready\n"), "{answer}");

    up.store(true, Ordering::Relaxed);
    let answer = get_path(&host, &admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    let answer = get_path(&host, &admin, "/readyz?verbose").await;
    assert!(answer.ends_with("[+] router ok\n[+] logic ok\nready\n"), "{answer}");

    admin.drain();
    let answer = get_path(&host, &admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("drain"), "{answer}");
    assert!(get_path(&host, &admin, "/livez").await.starts_with("HTTP/1.1 200"));
    admin.stop().await;
}

#[tokio::test]
async fn parts_are_shown_to_who_asks_for_all_and_decide_nothing() {
    let parts = || {
        let full = Err("below its reserve".to_owned());
        vec![("shard 1".to_owned(), Ok(())), ("disk".to_owned(), full)]
    };
    let health = Health::default().check("router-1", || Ok(())).details(parts);
    let (host, admin) = open(Surface { health, ..Surface::default() }).await;
    let answer = get_path(&host, &admin, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
    let answer = get_path(&host, &admin, "/readyz?verbose").await;
    let expected = "[+] router-1 ok\n[+] router-1: shard 1 ok\n\
                    [-] router-1: disk failed: below its reserve\nready\n";
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(expected), "{answer}");
    admin.stop().await;
}

#[tokio::test]
async fn metrics_are_prometheus_text_and_routes_are_mounted() {
    let pushes = Counter::<u64>::default();
    let mut metrics = Registry::default();
    metrics.register("orrery_pushes", "Pushes", pushes.clone());
    pushes.inc_by(3);
    let routes = Router::new().route("/hello", get(async || "hello"));
    let (host, admin) = open(Surface { metrics, routes, ..Surface::default() }).await;

    let answer = get_path(&host, &admin, "/metrics").await;
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    assert!(answer.contains("orrery_pushes_total 3\n") && answer.ends_with("# EOF\n"), "{answer}");
    assert!(get_path(&host, &admin, "/hello").await.ends_with("hello"));
    assert!(get_path(&host, &admin, "/none").await.starts_with("HTTP/1.1 404"));
    admin.stop().await;
}

#[tokio::test]
async fn garbage_is_answered_or_closed_and_harms_nobody() {
    let (host, admin) = open(Surface::default()).await;
    for garbage in
        ["\0\0\0\x10\0\x10\0\x01", "GET / HTTP/9.9\r\n\r\n", "POST /livez HTTP/1.1\r\n\r\n"]
    {
        let mut stream = host.net.connect(&admin.address().to_string()).await.unwrap();
        stream.write_all(garbage.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:?}");
    }
    assert!(get_path(&host, &admin, "/livez").await.starts_with("HTTP/1.1 200"));
    admin.stop().await;
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_frees_the_port() {
    let (host, admin) = open(Surface::default()).await;
    let address = admin.address();
    let mut idle = host.net.connect(&address.to_string()).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), admin.stop()).await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(host.net.connect(&address.to_string()).await.is_err());
}

#[tokio::test]
async fn taken_port_is_named() {
    let (host, admin) = open(Surface::default()).await;
    let config = AdminConfig { listen: admin.address() };
    let error = admin::start(&config, &host, Surface::default()).await.unwrap_err();
    let AdminError::Listen { address, .. } = &error;
    assert_eq!(*address, admin.address());
    assert!(error.to_string().contains(&admin.address().port().to_string()), "{error}");
    admin.stop().await;
}
