//! The conformance suite: what goim's clients and backends rely on, and what is better here, held against
//! router, logic and comet together over real sockets. `docs/goim.md` lists rules and tests.
//!
//! The tests speak in bytes and share no code with the codecs they judge. A case that means the same on
//! several transports is one test that runs on each of them, and on each within TLS.

// Tests stand outside the system: the real network and threads are theirs to use, and a panic is how
// they fail.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod bytes;
mod certificates;
mod device;
mod http;
mod link;
mod stack;
mod web;
mod wire;

mod audit;
mod authentication;
mod bounds;
mod broadcast;
mod comets;
mod deadlines;
mod delivery;
mod document;
mod frames;
mod goim_http;
mod hostile;
mod http_requests;
mod http_sessions;
mod json;
mod lives;
mod long_poll;
mod operations;
mod rooms;
mod secrets;
mod slow;
mod sse;
mod takeover;
mod upgrade;
mod vectors;

use std::future::Future;
use std::time::Duration;

/// Longer than anything takes that is going to happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for something that is going to happen.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(happened) => happened,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks again and again until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
