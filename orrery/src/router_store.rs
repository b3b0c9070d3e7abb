//! Opens the data directory of a router node.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router_store::disk::{DiskStore, Expected};
use orrery_router_store::{Identity, Store};
use tokio::sync::oneshot;

use crate::config::Config;

/// Opens the configured directory, or makes it for a new cluster.
///
/// # Errors
/// When it is in use, another node's, newer or damaged; the message names its path.
pub(crate) async fn open(config: &Config, host: &Host) -> anyhow::Result<Arc<dyn Store>> {
    let path = config.store.path.clone();
    let node = NodeId(config.router.node_id);
    // The number of shards is the router's own check, which says more than "belongs to another".
    let expected = Expected { cluster_id: None, node: Some(node), shards: None };
    let identity = Identity { cluster_id: host.random.uuid(), node, shards: config.router.shards };
    let (opened_tx, opened) = oneshot::channel();
    let open = {
        let path = path.clone();
        move || {
            // The receiver waits below for as long as this runs.
            let _ = opened_tx.send(DiskStore::open_or_create(&path, &expected, || identity));
        }
    };
    host.tasks.blocking("open-store", Box::new(open)).await;
    let store = opened.await.with_context(|| panicked(&path))?.with_context(|| cannot(&path))?;
    Ok(Arc::new(store))
}

fn panicked(path: &Path) -> String {
    format!("opening the data directory {} ended in the middle", path.display())
}

fn cannot(path: &Path) -> String {
    format!("cannot use the data directory {} (key store.path)", path.display())
}
