//! What `orrery dev` runs with: its own defaults, then file, environment and flags as everywhere.

use std::net::SocketAddr;

use anyhow::Context;

use crate::cli::DevOptions;
use crate::config::{self, Config, Role};

/// The comet's id. A fixed one, so that a new run ends the life of the one before it at once, whatever
/// its ports.
const COMET_ID: &str = "dev";

/// What dev logs: the table says what is going on, so only what is odd. openraft is not asked, it warns
/// of every message that an election or an end has overtaken.
const FILTER: &str = "warn,openraft=error";

/// Settles the configuration.
///
/// # Errors
/// When a layer is wrong, or a port would be above 65535.
pub(super) fn settle(options: &DevOptions) -> anyhow::Result<Config> {
    let mut config = config::load(&options.sources, &defaults(options.any_ports))?;
    if let Some(path) = &options.data {
        config.store.path.clone_from(path);
    }
    if let Some(shards) = options.shards {
        config.router.shards = shards;
    }
    for listen in config.listens_mut() {
        if let Some(ip) = options.listen {
            listen.address.set_ip(ip);
        }
        let port = offset(*listen.address, options.port_offset)
            .with_context(|| format!("{}: --port-offset is too large", listen.key))?;
        listen.address.set_port(port);
    }
    config.logic.nodes.tcp_port = config.comet.tcp.port();
    config.logic.nodes.ws_port = config.comet.websocket.port();
    Role::ALL.into_iter().try_for_each(|role| config::check_role(&config, role))?;
    Ok(config)
}

fn defaults(any_ports: bool) -> Config {
    let mut config = Config::default();
    if any_ports {
        for listen in config.listens_mut() {
            listen.address.set_port(0);
        }
    }
    config.telemetry.filter = FILTER.to_owned();
    config.logic.auth = orrery_logic::config::AuthMode::Open;
    config.comet.id = COMET_ID.to_owned();
    config
}

fn offset(address: SocketAddr, offset: u16) -> Option<u16> {
    match address.port() {
        0 => Some(0),
        port => port.checked_add(offset),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn settled(arguments: &[&str]) -> anyhow::Result<Config> {
        let cli = Cli::parse_from(["orrery", "dev"].iter().chain(arguments));
        match cli.command {
            Command::Dev(options) => settle(&options),
            other => panic!("not dev: {other:?}"),
        }
    }

    #[test]
    fn offset_moves_every_port_and_listen_every_address() {
        let plain = settled(&[]).unwrap();
        let moved = settled(&["--port-offset", "100", "--listen", "::1"]).unwrap();
        for (plain, moved) in plain.listens().iter().zip(moved.listens()) {
            assert_eq!(moved.address.port(), plain.address.port() + 100);
            assert_eq!(moved.address.ip().to_string(), "::1");
        }
        assert!(settled(&["--any-ports"]).unwrap().listens().iter().all(|l| l.address.port() == 0));
        // Only the usual ports are replaced, not one that was asked for.
        let asked = settled(&["--any-ports", "--set", "comet.tcp=127.0.0.1:9"]).unwrap();
        assert_eq!(asked.comet.tcp.port(), 9);
        let error = settled(&["--port-offset", "65000"]).unwrap_err();
        assert!(error.to_string().contains("--port-offset"), "{error}");
    }

    #[test]
    fn devices_are_let_in_only_in_dev() {
        use orrery_logic::config::AuthMode;
        assert_eq!(settled(&[]).unwrap().logic.auth, AuthMode::Open);
        assert_eq!(Config::default().logic.auth, AuthMode::Closed);
    }

    #[test]
    fn set_reaches_every_key_and_a_broken_rule_is_named_by_its_key() {
        assert_eq!(settled(&["--set", "router.lease_ms=9000"]).unwrap().router.lease_ms, 9000);
        let error = settled(&["--set", "router.lease_ms=1"]).unwrap_err();
        assert!(error.to_string().starts_with("router.lease_ms"), "{error}");
        let error = settled(&["--set", "comet.handshake_ms=0"]).unwrap_err();
        assert!(error.to_string().starts_with("comet.handshake_ms"), "{error}");
    }
}
