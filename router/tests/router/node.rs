//! A node under test, and how its address space is asked.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_model::{Address, Id, NodeId, ShardId, SlotTable};
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_router::{Config, Handle, StartError};
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Disk, StoreError};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::caller::Caller;

/// No condition of a test takes longer than this unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config() -> Config {
    let any = ([127, 0, 0, 1], 0).into();
    Config { found_alone: true, registry_listen: any, peers_listen: any, ..Config::default() }
}

/// A disk in memory that belongs to no cluster yet.
pub(crate) fn model() -> ModelDisk {
    ModelDisk::blank(NodeId(1), "first")
}

/// The disk of a data directory.
pub(crate) fn directory(path: &Path) -> Arc<dyn Disk> {
    Arc::new(NodeDirectory::new(path, NodeId(1), || "first".to_owned()))
}

/// The way to a node's services.
pub(crate) fn channel(handle: &Handle) -> Channel {
    let address = handle.registry_address().to_string();
    orrery_host::grpc::channel(Host::system().net, &address).unwrap()
}

/// A node that serves, its slot table, and a session with it.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) client: RegistryClient<Channel>,
    pub(crate) caller: Caller,
    pub(crate) table: SlotTable,
}

impl Node {
    pub(crate) async fn start(disk: Arc<dyn Disk>) -> Self {
        Self::start_with(config(), disk).await
    }

    /// Starts a node, waiting for one that was just dropped to let go of the disk.
    pub(crate) async fn start_with(config: Config, disk: Arc<dyn Disk>) -> Self {
        let host = Host::system();
        let handle = until("the disk is free", || async {
            match orrery_router::start(config.clone(), host.clone(), disk.clone()).await {
                Ok(handle) => Some(handle),
                Err(StartError::Disk(StoreError::Locked { .. })) => None,
                Err(error) => panic!("the node does not start: {error}"),
            }
        })
        .await;
        until("the node is ready", || std::future::ready(handle.ready().ok())).await;
        let mut client = RegistryClient::new(channel(&handle))
            .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
        let table = client.get_table(wire::GetTableRequest {}).await.unwrap().into_inner();
        let table = SlotTable::try_from(table.table.unwrap()).unwrap();
        let caller = Caller::open(&mut client, &host).await;
        Self { handle, client, caller, table }
    }

    pub(crate) fn shard_of(&self, address: &Address) -> ShardId {
        self.table.owner(address.slot())
    }

    /// Asks the owner of an address.
    pub(crate) async fn ask(
        &self,
        address: &Address,
        kind: wire::request::Kind,
    ) -> wire::response::Kind {
        self.caller.ask(self.shard_of(address), Some(kind)).await
    }

    pub(crate) async fn bind(&self, address: &Address, comet: &str, conn: u64) -> Bound {
        self.bind_in(address, comet, 1, conn).await.unwrap()
    }

    pub(crate) async fn bind_in(
        &self,
        address: &Address,
        comet: &str,
        incarnation: u64,
        conn: u64,
    ) -> Result<Bound, wire::response::Kind> {
        let command = bind_command(address, comet, incarnation, conn);
        let response = self.caller.send(self.shard_of(address), Some(command)).await;
        let log_index = response.log_index;
        match response.kind.unwrap() {
            wire::response::Kind::Reply(wire::Reply {
                reply: Some(wire::reply::Reply::Bound(bound)),
            }) => Ok(Bound { seq: bound.seq, log_index }),
            other => Err(other),
        }
    }

    /// The seqs at a user or key.
    pub(crate) async fn locate(&self, address: &Address) -> Vec<u64> {
        let located = self.ask(address, locate(address)).await;
        let wire::response::Kind::Located(located) = located else {
            panic!("{address} was not located: {located:?}");
        };
        located.routes.iter().map(|route| route.seq).collect()
    }

    /// Ends the node as a crash of its process would.
    pub(crate) fn kill(self) {
        drop(self.caller);
        drop(self.handle);
    }

    pub(crate) async fn stop(self) {
        drop(self.caller);
        timeout(PATIENCE, self.handle.stop()).await.expect("stopping is bounded in time");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) seq: u64,
    pub(crate) log_index: u64,
}

pub(crate) fn user(name: impl AsRef<str>) -> Address {
    Address::user(Id::new(name).unwrap())
}

pub(crate) fn bind_command(
    address: &Address,
    comet: &str,
    incarnation: u64,
    conn: u64,
) -> wire::request::Kind {
    let bind = wire::Bind {
        address: Some(address.into()),
        comet: Some(comet_ref(comet, incarnation)),
        conn,
        details: None,
        policy: None,
        settled: 0,
        rank: None,
    };
    write(wire::command::Kind::Bind(bind))
}

pub(crate) fn write(command: wire::command::Kind) -> wire::request::Kind {
    wire::request::Kind::Write(wire::Command { kind: Some(command) })
}

pub(crate) fn locate(address: &Address) -> wire::request::Kind {
    wire::request::Kind::Locate(wire::Locate { address: Some(address.into()), stale_ok: false })
}

pub(crate) fn comet_ref(id: &str, incarnation: u64) -> orrery_proto::common::CometRef {
    orrery_proto::common::CometRef { id: id.to_owned(), incarnation }
}

/// Looks until there is what was waited for.
pub(crate) async fn until<T, F, Fut>(what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let wait = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("in vain waited until {what}"))
}
