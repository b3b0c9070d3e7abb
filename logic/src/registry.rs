//! Registry: the one door through which this service asks the router, with what is counted at it.

use std::time::Duration;

use orrery_host::Host;
use orrery_model::command::{Command, Reply};
use orrery_model::control::{Attach, Comet};
use orrery_model::{Address, CometRef};
use orrery_router_client::{Attached, Client, Located, MembersCursor, MembersPage, Pulse};
use tokio::time::Instant;

use crate::metrics::Metrics;

pub(crate) use orrery_router_client::ClientError as RegistryError;

/// The registry. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    client: Client,
    metrics: Metrics,
}

impl Registry {
    pub(crate) fn new(routers: &[String], metrics: Metrics, host: Host) -> Self {
        let config = orrery_router_client::Config { nodes: routers.to_vec(), ..Default::default() };
        Self { client: Client::new(config, host), metrics }
    }

    /// Adds the metrics of the way to the router.
    pub(crate) fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.client.register(registry);
    }

    /// Whether it is known which shard has which address.
    pub(crate) fn has_table(&self) -> bool {
        self.client.table().is_some()
    }

    /// Where an address is; the answer is from after this call began unless `stale_ok`.
    pub(crate) async fn locate(
        &self,
        address: Address,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<Located, RegistryError> {
        let begun = Instant::now();
        let located = self.client.locate(address, stale_ok, deadline).await;
        self.metrics.looked_up(begun.elapsed(), located.is_ok());
        located
    }

    /// Carries out a write of a comet.
    pub(crate) async fn write(
        &self,
        command: Command,
        timeout: Duration,
    ) -> Result<Reply, RegistryError> {
        Ok(self.client.write(command, Instant::now() + timeout).await?.reply)
    }

    /// A page of the members of a room.
    pub(crate) async fn members(
        &self,
        room: Address,
        from: Option<MembersCursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<MembersPage, RegistryError> {
        self.client.members(room, from, limit, deadline).await
    }

    /// A page of the routes of one comet's life.
    pub(crate) async fn comet_routes(
        &self,
        comet: CometRef,
        from: Option<MembersCursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<MembersPage, RegistryError> {
        self.client.comet_routes(comet, from, limit, deadline).await
    }

    /// How many members a room has.
    pub(crate) async fn count(
        &self,
        room: Address,
        deadline: Instant,
    ) -> Result<u64, RegistryError> {
        self.client.count(room, deadline).await
    }

    /// The living comets.
    pub(crate) async fn comets(
        &self,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<Vec<Comet>, RegistryError> {
        self.client.comets(stale_ok, deadline).await
    }

    /// Gives a comet a new life.
    pub(crate) async fn attach(
        &self,
        attach: Attach,
        timeout: Duration,
    ) -> Result<Attached, RegistryError> {
        self.client.attach(attach, Instant::now() + timeout).await
    }

    /// Begins a comet's lease anew.
    pub(crate) async fn keep_alive(
        &self,
        comet: CometRef,
        timeout: Duration,
    ) -> Result<Pulse, RegistryError> {
        self.client.keep_alive(comet, Instant::now() + timeout).await
    }

    /// Ends a comet's life.
    pub(crate) async fn detach(
        &self,
        comet: CometRef,
        timeout: Duration,
    ) -> Result<(), RegistryError> {
        self.client.detach(comet, Instant::now() + timeout).await
    }
}
