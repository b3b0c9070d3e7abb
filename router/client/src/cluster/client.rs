//! ClusterClient: the calls of the cluster service, each on the node it is for.

use std::future::Future;
use std::sync::Arc;

use orrery_host::Host;
use orrery_model::cluster::NodeState;
use orrery_model::control::{Comet, ControlCommand, Found};
use orrery_model::{NodeId, ShardId};
use orrery_proto::cluster::{
    AdoptRequest, BackupRequest, ChangeRequest, DescribeRequest, DigestRequest, SnapshotRequest,
    StatusRequest,
};
use orrery_proto::registry::{GetTableRequest, ListCometsRequest};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::{Response, Status};

use super::{BackupStream, ClusterError, Described, Report, ShardDigest};
use crate::ask::Effect;
use crate::config::Config;
use crate::door::Door;
use crate::node::Node;
use crate::nodes::Nodes;
use crate::table::Table;

/// A client of the cluster service of router nodes. Keeps a connection to each node it has asked.
pub struct ClusterClient {
    nodes: Arc<Nodes>,
    door: Door,
    /// Registry addresses of the cluster's nodes, as the last one told that reported.
    told: Mutex<Vec<String>>,
}

/// What makes a node a part of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The cluster's id.
    pub cluster_id: String,
    /// Whom it is for.
    pub node: NodeId,
    /// And in which data directory.
    pub instance: String,
    /// How many data shards the cluster has.
    pub shards: u32,
    /// What the cluster is founded with; `None` for a node that joins later.
    pub founding: Option<Found>,
}

impl ClusterClient {
    /// A client that knows the registry addresses of some nodes.
    pub fn new(config: &Config, host: Host) -> Self {
        let nodes = Arc::new(Nodes::new(config.nodes.clone(), host.clone()));
        let door = Door::new(nodes.clone(), host, config.attempt_timeout(), config.hedge());
        Self { nodes, door, told: Mutex::default() }
    }

    /// Who the node at an address is.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn describe(
        &self,
        address: &str,
        deadline: Instant,
    ) -> Result<Described, ClusterError> {
        let ask =
            |node: Arc<Node>| async move { node.cluster().describe(DescribeRequest {}).await };
        Described::from_wire(self.node(address, deadline, ask).await?)
    }

    /// Makes the node at an address a part of a cluster, for good. A repeat changes nothing. `by` is who
    /// asks, for the node's audit log.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] where it is another node or belongs to another cluster; may always be
    /// repeated.
    pub async fn adopt(
        &self,
        address: &str,
        adoption: &Adoption,
        by: &str,
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let request = AdoptRequest {
            cluster_id: adoption.cluster_id.clone(),
            node: adoption.node.0,
            instance: adoption.instance.clone(),
            shards: adoption.shards,
            founding: adoption.founding.as_ref().map(Into::into),
            by: by.to_owned(),
        };
        let ask = |node: Arc<Node>| async move { node.cluster().adopt(request).await };
        self.node(address, deadline, ask).await.map(|_| ())
    }

    /// How the node at an address and its replicas stand.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn report(&self, address: &str, deadline: Instant) -> Result<Report, ClusterError> {
        let ask = |node: Arc<Node>| async move { node.cluster().status(StatusRequest {}).await };
        let report = Report::from_wire(self.node(address, deadline, ask).await?)?;
        let stay = report.nodes.iter().filter(|(_, state)| *state != NodeState::Removed);
        let told: Vec<String> = stay.map(|(node, _)| node.registry.clone()).collect();
        if !told.is_empty() {
            *self.told.lock() = told;
        }
        Ok(report)
    }

    /// Lets the node at an address write snapshots of these shards, or of all it has where none is named.
    /// Returns the log index of the newest snapshot of each.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn snapshot(
        &self,
        address: &str,
        shards: &[ShardId],
        deadline: Instant,
    ) -> Result<Vec<(ShardId, u64)>, ClusterError> {
        let request = SnapshotRequest { shards: shards.iter().map(|shard| shard.0).collect() };
        let ask = |node: Arc<Node>| async move { node.cluster().snapshot(request).await };
        let answer = self.node(address, deadline, ask).await?;
        Ok(answer.snapshots.iter().map(|made| (ShardId(made.shard), made.index)).collect())
    }

    /// The digests of the replicas of the node at an address, of these shards, or of all it has where none is
    /// named. Takes the node a while where much is bound; it makes them for one caller at a time.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn digests(
        &self,
        address: &str,
        shards: &[ShardId],
        deadline: Instant,
    ) -> Result<Vec<ShardDigest>, ClusterError> {
        let request = DigestRequest { shards: shards.iter().map(|shard| shard.0).collect() };
        let ask = |node: Arc<Node>| async move { node.cluster().digest(request).await };
        let answer = self.node(address, deadline, ask).await?;
        Ok(answer.digests.iter().map(ShardDigest::from_wire).collect())
    }

    /// Begins to fetch everything a shard holds from the node at an address, which must lead it.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated, at the leader.
    pub async fn backup(
        &self,
        address: &str,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<BackupStream, ClusterError> {
        let request = BackupRequest { shard: shard.0 };
        let ask = |node: Arc<Node>| async move { node.cluster().backup(request).await };
        let chunks = self.node(address, deadline, ask).await?;
        Ok(BackupStream { address: address.to_owned(), chunks })
    }

    /// Changes the cluster, at whoever leads its control shard. Returns the index of the change in that
    /// shard's log.
    ///
    /// # Errors
    /// [`ClusterError::Unknown`] where it may or may not have been made; look how things are before it is
    /// tried again. Any other error says that it was not.
    pub async fn change(
        &self,
        command: &ControlCommand,
        by: &str,
        deadline: Instant,
    ) -> Result<u64, ClusterError> {
        let request = ChangeRequest { command: Some(command.into()), by: by.to_owned() };
        let ask = |node: Arc<Node>| {
            let request = request.clone();
            async move { node.cluster().change(request).await }
        };
        Ok(self.any(Effect::Write, deadline, ask).await?.log_index)
    }

    /// The slot table and the nodes, as some node knows them.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn table(&self, deadline: Instant) -> Result<Table, ClusterError> {
        let ask =
            |node: Arc<Node>| async move { node.client().get_table(GetTableRequest {}).await };
        let answer = self.any(Effect::Read, deadline, ask).await?;
        Table::from_wire(answer)
            .map_err(|error| ClusterError::Malformed { detail: error.to_string() })
    }

    /// The living comets, linearizable.
    ///
    /// # Errors
    /// [`ClusterError`]; may always be repeated.
    pub async fn comets(&self, deadline: Instant) -> Result<Vec<Comet>, ClusterError> {
        let ask = |node: Arc<Node>| async move {
            node.client().list_comets(ListCometsRequest { stale_ok: false }).await
        };
        let answer = self.any(Effect::Read, deadline, ask).await?;
        let comets: Result<_, _> = answer.comets.into_iter().map(Comet::try_from).collect();
        comets.map_err(|error| ClusterError::Malformed { detail: error.to_string() })
    }

    async fn node<T, Fut>(
        &self,
        address: &str,
        deadline: Instant,
        ask: impl FnOnce(Arc<Node>) -> Fut,
    ) -> Result<T, ClusterError>
    where
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let node = self.nodes.at(address).ok_or_else(|| ClusterError::Invalid {
            detail: format!("{address} is not HOST:PORT"),
        })?;
        match timeout_at(deadline, ask(node)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(ClusterError::of_node(address, &status)),
            Err(_) => {
                Err(ClusterError::of_node(address, &Status::deadline_exceeded("no answer in time")))
            }
        }
    }

    async fn any<T, F, Fut>(
        &self,
        effect: Effect,
        deadline: Instant,
        ask: F,
    ) -> Result<T, ClusterError>
    where
        F: Fn(Arc<Node>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        // All those that were configured may have been replaced by now.
        let addresses = || {
            let mut addresses = self.nodes.addresses(None);
            let told = self.told.lock();
            addresses.extend(told.iter().filter(|told| !self.nodes.is_seed(told)).cloned());
            addresses
        };
        let answer = self.door.ask(effect, addresses, deadline, ask).await;
        answer.map_err(ClusterError::of_cluster)
    }
}
