//! What `orrery dev` says once it is ready: what listens where, and what to try.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::config::{Config, Part, Role};

/// Prints the table, or one line of JSON, on the standard output.
///
/// # Errors
/// When nobody can read it.
pub(super) fn print(settings: &Settings, took: Duration, json: bool) -> io::Result<()> {
    let text = match json {
        true => line(settings, took),
        false => table(settings, took),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn line(settings: &Settings, took: Duration) -> String {
    let addresses: Map<String, Value> = listens(settings)
        .into_iter()
        .map(|(key, address)| (key, address.to_string().into()))
        .collect();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let nodes = settings.routers.len();
    format!("{}\n", json!({ "ready_ms": millis, "nodes": nodes, "addresses": addresses }))
}

/// Every address by its key; the section of a further instance carries its number: `comet-2.tcp_listen`.
fn listens(settings: &Settings) -> Vec<(String, SocketAddr)> {
    let mut all = Vec::new();
    let mut take = |configs: &[Config], part: Part| {
        for (config, number) in configs.iter().zip(1..) {
            for listen in config.listens().into_iter().filter(|listen| listen.part == part) {
                let key = match (number, listen.key.split_once('.')) {
                    (2.., Some((section, key))) => format!("{section}-{number}.{key}"),
                    _ => listen.key.to_owned(),
                };
                all.push((key, listen.address));
            }
        }
    };
    take(&settings.routers, Part::Role(Role::Router));
    take(&settings.logics, Part::Role(Role::Logic));
    take(&settings.comets, Part::Role(Role::Comet));
    take(std::slice::from_ref(&settings.process), Part::Admin);
    all
}

fn table(settings: &Settings, took: Duration) -> String {
    let mut rows = Vec::new();
    for comet in settings.comets.iter().map(|config| &config.comet) {
        rows.extend([
            ("comet", "TCP, goim's protocol", comet.tcp_listen.to_string()),
            (
                "comet",
                "WebSocket, goim's and orrery.json.v1",
                format!("ws://{}/sub", comet.websocket_listen),
            ),
        ]);
        if comet.has_tls() {
            let (tcp, websocket) = (comet.tls.tcp_listen, comet.tls.websocket_listen);
            rows.extend([
                ("comet", "the same over TLS", tcp.to_string()),
                ("comet", "the same over TLS", format!("wss://{websocket}/sub")),
            ]);
        }
        rows.push(("comet", "gRPC delivery from logic", comet.delivery_listen.to_string()));
    }
    for logic in settings.logics.iter().map(|config| &config.logic) {
        rows.extend([
            ("logic", "HTTP push, OpenAPI, goim's paths", format!("http://{}", logic.http_listen)),
            ("logic", "gRPC push", logic.grpc_listen.to_string()),
            ("logic", "gRPC edge for comets", logic.edge_listen.to_string()),
        ]);
    }
    for router in settings.routers.iter().map(|config| &config.router) {
        rows.push(("router", "gRPC registry", router.registry_listen.to_string()));
        if settings.is_cluster() {
            rows.push(("router", "gRPC for its peers", router.peers_listen.to_string()));
        }
    }
    let admin = settings.process.admin.listen;
    rows.push(("admin", "demo page, /readyz, /metrics", format!("http://{admin}/")));

    let nodes = match settings.routers.len() {
        1 => String::new(),
        nodes => format!("{nodes} router nodes, "),
    };
    let mut text = format!(
        "Orrery {} is ready after {} ms: {nodes}data in {}\n\n",
        env!("CARGO_PKG_VERSION"),
        took.as_millis(),
        settings.process.store.path.display(),
    );
    for (role, what, where_) in rows {
        text += &format!("  {role:<7} {what:<37} {where_}\n");
    }
    if let (Some(comet), Some(logic)) = (settings.comets.first(), settings.logics.first()) {
        text += &commands(comet.comet.websocket_listen, logic.logic.http_listen, admin);
    }
    if settings.is_cluster()
        && let Some(first) = settings.routers.first()
    {
        let registry = first.router.registry_listen;
        text += &format!("\n`orrery ctl --router {registry} cluster status` shows the cluster.\n");
    }
    if listens(settings).iter().any(|(_, address)| !address.ip().is_loopback()) {
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
