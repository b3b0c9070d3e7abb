//! Surroundings: what all parts of a member share.

use std::sync::Arc;

use orrery_host::Host;
use orrery_model::NodeId;
use orrery_model::control::Node;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::room::Room;
use crate::view::Views;

/// What all parts of a member share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) config: Arc<Config>,
    pub(crate) host: Host,
    /// This node with the addresses it has now: what the cluster knows may be older.
    pub(crate) node: Arc<Node>,
    pub(crate) views: Views,
    pub(crate) room: Room,
    pub(crate) failure: Failure,
    pub(crate) metrics: Metrics,
    /// One leadership at a time is handed over, so that clients meet one gap and not many.
    pub(crate) handovers: Arc<Semaphore>,
}

impl Surroundings {
    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.node.id
    }
}
