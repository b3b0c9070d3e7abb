//! Operator: how the harness itself asks the system how it stands, from where no fault reaches.

use orrery_host::Host;
use orrery_router_client::cluster::ClusterClient;
use orrery_router_client::{Client, Config};

/// The harness's own ways to the routers.
pub struct Operator {
    /// Where the registry of each founding router listens.
    pub routers: Vec<String>,
    /// What each node says of itself.
    pub cluster: ClusterClient,
    /// What the registry holds.
    pub registry: Client,
}

impl Operator {
    /// One that begins with these routers and learns of the others.
    pub fn new(routers: Vec<String>, host: Host) -> Self {
        let config = Config { nodes: routers.clone(), ..Config::default() };
        let cluster = ClusterClient::new(&config, host.clone());
        Self { routers, cluster, registry: Client::new(config, host) }
    }
}
