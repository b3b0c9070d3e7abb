//! The data directory of a router node.

use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router_store::disk::NodeDirectory;

use crate::config::Config;

/// The configured directory; nothing of it is opened yet.
pub(crate) fn disk(config: &Config, host: &Host) -> NodeDirectory {
    let random = host.random.clone();
    NodeDirectory::new(&config.store.path, NodeId(config.router.node_id), move || random.uuid())
}
