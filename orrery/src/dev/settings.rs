//! What `orrery dev` runs with: its own defaults, then file, environment and flags as everywhere.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::DevOptions;
use crate::config::{self, Config, Part, Role};

/// The comet's id. A fixed one, so that a new run ends the life of the one before it at once, whatever
/// its ports.
const COMET_ID: &str = "dev";

/// What dev logs: the table says what is going on, so only what is odd. openraft is not asked, it warns
/// of every message that an election or an end has overtaken.
const FILTER: &str = "warn,openraft=error";

/// How far apart the ports of two instances of a role are.
const INSTANCE_PORTS: u16 = 100;

/// Logics and comets that run beside several router nodes: enough that each has another one to fail over to.
const BESIDE_A_CLUSTER: usize = 2;

/// What runs: the configuration of each instance of each role, first ones first.
#[derive(Debug)]
pub(super) struct Settings {
    /// The process's own, and the first instances'.
    pub(super) process: Config,
    pub(super) routers: Vec<Config>,
    pub(super) logics: Vec<Config>,
    pub(super) comets: Vec<Config>,
}

impl Settings {
    /// Whether several router nodes run.
    pub(super) fn is_cluster(&self) -> bool {
        self.routers.len() > 1
    }
}

/// Settles the configuration.
///
/// # Errors
/// When a layer is wrong, a port would be above 65535, or the data was made with another number of nodes.
pub(super) fn settle(options: &DevOptions) -> anyhow::Result<Settings> {
    let mut config = config::load(&options.sources, &defaults(options.any_ports))?;
    if let Some(path) = &options.data {
        config.store.path.clone_from(path);
    }
    if options.shards.is_some() {
        config.router.shards = options.shards;
    }
    for listen in config.listens_mut() {
        if let Some(ip) = options.listen {
            listen.address.set_ip(ip);
        }
        let port = offset(*listen.address, options.port_offset)
            .with_context(|| format!("{}: --port-offset is too large", listen.key))?;
        listen.address.set_port(port);
    }
    config.logic.nodes.tcp_port = config.comet.tcp_listen.port();
    config.logic.nodes.ws_port = config.comet.websocket_listen.port();
    if config.comet.has_tls() {
        config.logic.nodes.wss_port = config.comet.tls.websocket_listen.port();
    }
    Role::ALL.into_iter().try_for_each(|role| config::check_role(&config, role))?;
    let nodes = usize::from(options.nodes);
    check_data(&config.store.path, nodes)?;
    let beside = if nodes > 1 { BESIDE_A_CLUSTER } else { 1 };
    let instances = |count: usize| -> anyhow::Result<Vec<Config>> {
        (0..count).map(|n| instance(&config, n)).collect()
    };
    let mut routers = instances(nodes)?;
    if nodes > 1 {
        for (router, id) in routers.iter_mut().zip(1..) {
            router.router.node_id = id;
            router.router.found_alone = false;
            router.store.path = node_path(&config.store.path, id);
        }
    }
    let (logics, mut comets) = (instances(beside)?, instances(beside)?);
    for (comet, number) in comets.iter_mut().zip(1..).skip(1) {
        comet.comet.id = format!("{}-{number}", comet.comet.id);
    }
    Ok(Settings { process: config, routers, logics, comets })
}

/// The configuration of an instance; the first one, 0, is as configured.
fn instance(config: &Config, number: usize) -> anyhow::Result<Config> {
    let mut config = config.clone();
    let higher = u16::try_from(number).ok().and_then(|number| number.checked_mul(INSTANCE_PORTS));
    for listen in config.listens_mut().into_iter().filter(|listen| listen.part != Part::Admin) {
        let port = higher.and_then(|higher| offset(*listen.address, higher));
        let port = port.with_context(|| {
            format!("{}: instance {number} would have a port above 65535", listen.key)
        })?;
        listen.address.set_port(port);
    }
    Ok(config)
}

/// Where the data of one node of several is.
fn node_path(data: &Path, node: u64) -> PathBuf {
    data.join(format!("node-{node}"))
}

/// Refuses data that another number of nodes has left: a cluster does not lose members by a flag.
fn check_data(data: &Path, nodes: usize) -> anyhow::Result<()> {
    let made_with = (1..).take_while(|node| node_path(data, *node).is_dir()).count();
    let alone = data.join("header").is_file();
    let found = match (alone, made_with) {
        (true, _) => 1,
        (false, 0) => return Ok(()),
        (false, made_with) => made_with,
    };
    if found != nodes {
        bail!(
            "the data in {} was made with --nodes {found}: use that, or another folder (--data)",
            data.display(),
        );
    }
    Ok(())
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
    config.router.found_alone = true;
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

    fn all(arguments: &[&str]) -> anyhow::Result<Settings> {
        let cli = Cli::parse_from(["orrery", "dev"].iter().chain(arguments));
        match cli.command {
            Command::Dev(options) => settle(&options),
            other => panic!("not dev: {other:?}"),
        }
    }

    fn settled(arguments: &[&str]) -> anyhow::Result<Config> {
        all(arguments).map(|settings| settings.process)
    }

    #[test]
    fn several_nodes_have_ports_and_data_of_their_own() {
        let settings = all(&["--nodes", "3", "--data", "/nowhere/data"]).unwrap();
        let counts = [&settings.routers, &settings.logics, &settings.comets].map(Vec::len);
        assert_eq!(counts, [3, 2, 2]);
        let third = &settings.routers[2];
        assert_eq!(third.router.registry_listen.port(), 3321);
        assert_eq!(third.router.peers_listen.port(), 3320);
        assert_eq!((third.router.node_id, third.router.found_alone), (3, false));
        assert_eq!(third.store.path, Path::new("/nowhere/data/node-3"));
        assert_eq!(settings.comets[1].comet.websocket_listen.port(), 3202);
        assert_eq!(settings.comets[1].admin.listen.port(), 3131, "there is one admin port");
        assert_ne!(settings.comets[0].comet.id, settings.comets[1].comet.id);
        let alone = all(&["--data", "/nowhere/data"]).unwrap();
        assert_eq!(alone.routers.len() + alone.logics.len() + alone.comets.len(), 3);
        assert!(alone.routers[0].router.found_alone && !alone.is_cluster());
        assert_eq!(alone.routers[0].store.path, Path::new("/nowhere/data"));
    }

    #[test]
    fn data_of_another_number_of_nodes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        for node in ["node-1", "node-2", "node-3"] {
            std::fs::create_dir(folder.path().join(node)).unwrap();
        }
        assert!(all(&["--nodes", "3", "--data", data]).is_ok());
        for other in [&["--data", data][..], &["--nodes", "2", "--data", data]] {
            let error = all(other).unwrap_err().to_string();
            assert!(error.contains("--nodes 3") && error.contains(data), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("header"), "").unwrap();
        let data = folder.path().to_str().unwrap();
        assert!(all(&["--data", data]).is_ok());
        let error = all(&["--nodes", "3", "--data", data]).unwrap_err().to_string();
        assert!(error.contains("--nodes 1"), "{error}");
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
        let asked = settled(&["--any-ports", "--set", "comet.tcp_listen=127.0.0.1:9"]).unwrap();
        assert_eq!(asked.comet.tcp_listen.port(), 9);
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
