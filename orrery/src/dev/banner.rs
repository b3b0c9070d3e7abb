//! What `orrery dev` says once it is ready: what listens where, and what to try.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::Config;

/// Prints the table, or one line of JSON, on the standard output.
///
/// # Errors
/// When nobody can read it.
pub(super) fn print(config: &Config, took: Duration, json: bool) -> io::Result<()> {
    let text = match json {
        true => line(config, took),
        false => table(config, took),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn line(config: &Config, took: Duration) -> String {
    let addresses: Map<String, Value> = config
        .listens()
        .into_iter()
        .map(|listen| (listen.key.to_owned(), listen.address.to_string().into()))
        .collect();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    format!("{}\n", json!({ "ready_ms": millis, "addresses": addresses }))
}

fn table(config: &Config, took: Duration) -> String {
    let (comet, logic) = (&config.comet, &config.logic);
    let rows = [
        ("comet", "TCP, goim's protocol", comet.tcp.to_string()),
        ("comet", "WebSocket, goim's and orrery.json.v1", format!("ws://{}/sub", comet.websocket)),
        ("comet", "gRPC delivery from logic", comet.delivery.to_string()),
        ("logic", "HTTP push, OpenAPI, goim's paths", format!("http://{}", logic.http_address)),
        ("logic", "gRPC push", logic.grpc_address.to_string()),
        ("logic", "gRPC edge for comets", logic.edge_address.to_string()),
        ("router", "gRPC registry", config.router.registry_listen.to_string()),
        ("admin", "demo page, /readyz, /metrics", format!("http://{}/", config.admin.listen)),
    ];
    let mut text = format!(
        "Orrery {} is ready after {} ms: {} shards, data in {}\n\n",
        env!("CARGO_PKG_VERSION"),
        took.as_millis(),
        config.router.shards,
        config.store.path.display(),
    );
    for (role, what, where_) in rows {
        text += &format!("  {role:<7} {what:<37} {where_}\n");
    }
    text += &commands(comet.websocket, logic.http_address, config.admin.listen);
    if config.listens().iter().any(|listen| !listen.address.ip().is_loopback()) {
        text += "\nReachable from other machines, without authentication: for a trusted network only.\n";
    }
    text
}

fn commands(websocket: SocketAddr, http: SocketAddr, admin: SocketAddr) -> String {
    format!(
        r#"
Try, each in a terminal of its own:

  # a device: user alice in a room (or run the demo page, the third command)
  (echo '{{"type":"hello","user":"alice","rooms":["live://1000"]}}'; cat) |
    websocat --protocol orrery.json.v1 ws://{websocket}/sub

  # a backend pushes to her
  curl http://{http}/v1/push -H 'content-type: application/json' \
    -d '{{"target":{{"users":{{"ids":["alice"]}}}},"op":1000,"body":"hello"}}'

  # both, in a browser
  xdg-open http://{admin}/

Ctrl-C ends it.
"#
    )
}
