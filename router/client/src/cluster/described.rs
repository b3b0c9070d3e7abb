//! Described: who a node says it is.

use orrery_model::NodeId;
use orrery_model::cluster::Node;
use orrery_model::control::Found;
use orrery_proto::cluster as wire;

use super::ClusterError;

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its number, addresses, instance and protocol version.
    pub node: Node,
    /// The cluster it belongs to; `None` while it belongs to none.
    pub cluster_id: Option<String>,
    /// Its build, for people.
    pub build: String,
    /// What its cluster was founded with, where the node was there.
    pub founding: Option<Found>,
}

impl Described {
    pub(super) fn from_wire(wire: wire::DescribeResponse) -> Result<Self, ClusterError> {
        let malformed = |detail: String| ClusterError::Malformed { detail };
        if wire.node == 0 || wire.instance.is_empty() {
            return Err(malformed("a node without number or instance".to_owned()));
        }
        let founding = wire.founding.map(Found::try_from).transpose();
        Ok(Self {
            node: Node {
                id: NodeId(wire.node),
                registry: wire.registry,
                peers: wire.peers,
                instance: wire.instance,
                protocol: wire.protocol.max(1),
            },
            cluster_id: Some(wire.cluster_id).filter(|id| !id.is_empty()),
            build: wire.build,
            founding: founding.map_err(|error| malformed(error.to_string()))?,
        })
    }
}
