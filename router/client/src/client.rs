//! Client: what logic and the harness may ask of the registry.

use std::sync::Arc;

use orrery_host::Host;
use orrery_model::command::{Command, Reply};
use orrery_model::{Address, CometRef, Kind, Route, ShardId};
use orrery_proto::convert::WireError;
use orrery_proto::registry::{Count, Locate, request, response};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::ask::{Ask, Target, address_of};
use crate::call::{Answered, Call};
use crate::config::Config;
use crate::door::Door;
use crate::error::ClientError;
use crate::leaders::Leaders;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::table::Table;
use crate::tables::Tables;

/// A client of the registry. Cheap to clone; its tasks end with the last clone.
///
/// Requests for one address leave in the order in which their futures are first polled, once a slot
/// table is known. One that has to be repeated or redirected may be overtaken by later ones, and may be
/// carried out after they were: whoever needs two requests in order sends the second when the first is
/// answered. Nothing else is lost by it, since identities, seqs and versions decide what a write does,
/// not its place.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) host: Host,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) tables: Tables,
    pub(crate) leaders: Leaders,
    pub(crate) door: Door,
    pub(crate) metrics: Metrics,
}

/// A write that the log took in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What it did, or why it was refused.
    pub reply: Reply,
    /// Index of its log entry in the shard.
    pub log_index: u64,
    /// How often it was sent, to any node. After once only, the entry at `log_index` is the first and only
    /// one that it has; else the entry at which it took effect may be an earlier one.
    pub attempts: u32,
}

/// Where an address is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    /// The routes of a user or key.
    pub routes: Vec<Route>,
    /// The comets that hold members of a room.
    pub comets: Vec<CometRef>,
    /// Index in the shard's log at which this was so.
    pub log_index: u64,
}

impl Client {
    /// A client that begins at once to look for the slot table. Never waits: until there is a table,
    /// calls wait for it, each to its own deadline.
    pub fn new(config: Config, host: Host) -> Self {
        let nodes = Arc::new(Nodes::new(config.nodes.clone(), host.clone()));
        let metrics = Metrics::default();
        let refresh = config.table_refresh();
        let tables = Tables::start(&host, nodes.clone(), refresh, metrics.clone());
        let leaders = Leaders::default();
        let patience = (config.attempt_timeout(), config.hedge());
        let door = Door::new(nodes.clone(), host.clone(), patience.0, patience.1);
        Self { inner: Arc::new(Inner { config, host, nodes, tables, leaders, door, metrics }) }
    }

    /// Adds the client's metrics, all prefixed `orrery_registry_client_`.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
    }

    /// The newest slot table known here, if any is.
    pub fn table(&self) -> Option<Arc<Table>> {
        self.inner.tables.newest()
    }

    /// Carries out a write of a comet, repeating it under its own identity until it is known what became
    /// of it.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] when the deadline passed after an attempt that may have taken effect;
    /// any other error says that it was not carried out.
    pub async fn write(&self, command: Command, deadline: Instant) -> Result<Written, ClientError> {
        let Some(address) = address_of(&command) else {
            let detail = "only the registry itself writes this".to_owned();
            return Err(ClientError::Invalid { detail });
        };
        let ask = Ask::write(address, request::Kind::Write((&command).into()));
        let Answered { kind, log_index, sent } =
            Call::new(&self.inner, &ask, deadline).run().await?;
        let response::Kind::Reply(reply) = kind else { return Err(garbled("write").after(true)) };
        let reply = Reply::try_from(reply).map_err(|error| malformed(&error).after(true))?;
        Ok(Written { reply, log_index, attempts: sent })
    }

    /// Where an address is: linearizable, unless `stale_ok` lets any replica answer from what it has.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn locate(
        &self,
        address: Address,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<Located, ClientError> {
        let target = Target::Owner(address.slot());
        let locate = Locate { address: Some(address.into()), stale_ok };
        let mut ask = Ask::read(target, request::Kind::Locate(locate));
        ask.any_replica = stale_ok;
        let (kind, log_index) = self.call(&ask, deadline).await?;
        let response::Kind::Located(located) = kind else { return Err(garbled("locate")) };
        let routes = located.routes.into_iter().map(Route::try_from).collect::<Result<_, _>>();
        let comets = located.comets.into_iter().map(CometRef::try_from).collect::<Result<_, _>>();
        Ok(Located {
            routes: routes.map_err(|error| malformed(&error))?,
            comets: comets.map_err(|error| malformed(&error))?,
            log_index,
        })
    }

    /// How many members a room has. Each shard's part is linearizable; the sum is not one instant.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn count(&self, room: Address, deadline: Instant) -> Result<u64, ClientError> {
        check_room(&room)?;
        let table = self.first_table(deadline).await?;
        let counts = table.shards.iter().map(|shard| self.count_in(&room, *shard, deadline));
        let counts = futures_util::future::try_join_all(counts).await?;
        Ok(counts.into_iter().fold(0, |sum, (count, _)| sum.saturating_add(count)))
    }

    /// How many members a room has in one shard, and the index in the shard's log at which that was so:
    /// linearizable.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn count_in(
        &self,
        room: &Address,
        shard: ShardId,
        deadline: Instant,
    ) -> Result<(u64, u64), ClientError> {
        check_room(room)?;
        let count = Count { room: Some(room.into()) };
        let ask = Ask::read(Target::Shard(shard), request::Kind::Count(count));
        match self.call(&ask, deadline).await? {
            (response::Kind::Counted(counted), log_index) => Ok((counted.count, log_index)),
            _ => Err(garbled("count")),
        }
    }

    pub(crate) async fn call(
        &self,
        ask: &Ask,
        deadline: Instant,
    ) -> Result<(response::Kind, u64), ClientError> {
        let answered = Call::new(&self.inner, ask, deadline).run().await?;
        Ok((answered.kind, answered.log_index))
    }

    pub(crate) async fn first_table(&self, deadline: Instant) -> Result<Arc<Table>, ClientError> {
        let table = self.inner.tables.first(deadline).await;
        table.ok_or_else(|| ClientError::Unavailable { detail: "no slot table yet".to_owned() })
    }
}

pub(crate) fn check_room(room: &Address) -> Result<(), ClientError> {
    match room.kind {
        Kind::Room => Ok(()),
        Kind::User | Kind::Key => {
            Err(ClientError::Invalid { detail: format!("{room} is not a room") })
        }
    }
}

/// An answer of the wrong kind.
pub(crate) fn garbled(asked: &'static str) -> ClientError {
    ClientError::Unavailable { detail: format!("the answer to a {asked} was of another kind") }
}

/// An answer that is not what the contract says.
pub(crate) fn malformed(error: &WireError) -> ClientError {
    ClientError::Unavailable { detail: format!("malformed answer: {error}") }
}
