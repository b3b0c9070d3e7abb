//! Lone node: a node that is a cluster of its own, for tests of its parts.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router_store::model::ModelDisk;
use tokio::time::{sleep, timeout};

use crate::{Config, Handle};

/// How long it may take until it serves, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);

/// A node of so many shards that serves.
pub(crate) async fn node(shards: u32) -> Handle {
    let any = ([127, 0, 0, 1], 0).into();
    let config = Config {
        found_alone: true,
        shards: Some(shards),
        registry_listen: any,
        peers_listen: any,
        ..Config::default()
    };
    let disk = Arc::new(ModelDisk::blank(NodeId(1), "first"));
    let handle = crate::start(config, Host::system(), disk).await.unwrap();
    let ready = async {
        while handle.ready().is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the node serves");
    handle
}
