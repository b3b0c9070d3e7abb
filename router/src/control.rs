//! Control: what the registry service offers of the control shard: comets' lives and the slot table.

use std::sync::Arc;

use orrery_model::control::{Attach, Comet, ControlCommand, ControlOutcome, ControlRefusal};
use orrery_model::{CometRef, Incarnation};
use orrery_router_core::control::Standing;
use tokio::time::Instant;

use crate::error::{ReadError, WriteError};
use crate::leases::LeaseKeeper;
use crate::shard::ControlShard;

/// The control shard on this node.
pub(crate) struct ControlPlane {
    shard: Arc<ControlShard>,
    leases: Arc<LeaseKeeper>,
}

/// Why a comet was not given a life, or did not end one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LifeError {
    /// See [`WriteError`].
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The control shard refused; every replica would.
    #[error(transparent)]
    Refused(#[from] ControlRefusal),
}

impl ControlPlane {
    pub(crate) fn new(shard: Arc<ControlShard>, leases: Arc<LeaseKeeper>) -> Self {
        Self { shard, leases }
    }

    /// Gives a comet a fresh incarnation and ends its lower ones; a repeat is answered alike. Its lease
    /// begins.
    ///
    /// # Errors
    /// See [`LifeError`].
    pub(crate) async fn attach(
        &self,
        attach: Attach,
        deadline: Instant,
    ) -> Result<Incarnation, LifeError> {
        let comet = attach.comet.clone();
        let written = self.shard.write(ControlCommand::Attach(attach), deadline).await?;
        match written.reply? {
            ControlOutcome::Attached { incarnation, position } => {
                tracing::info!(%comet, %incarnation, position, "comet attached");
                Ok(incarnation)
            }
            ControlOutcome::Done => {
                Err(WriteError::Unknown("the attach gave no incarnation".to_owned()).into())
            }
        }
    }

    /// Renews a comet's lease and says how it stands.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn keep_alive(
        &self,
        comet: &CometRef,
        deadline: Instant,
    ) -> Result<Standing, ReadError> {
        self.leases.keep_alive(comet, deadline).await
    }

    /// Ends a comet's life as it asked for.
    ///
    /// # Errors
    /// See [`LifeError`].
    pub(crate) async fn detach(&self, comet: CometRef, deadline: Instant) -> Result<(), LifeError> {
        let written = self.shard.write(ControlCommand::Expire(comet.clone()), deadline).await?;
        written.reply?;
        tracing::info!(%comet, "comet detached");
        Ok(())
    }

    /// The living comets in order of their ids; with `stale_ok` as far as this node knows.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn comets(
        &self,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<Vec<Comet>, ReadError> {
        if !stale_ok {
            self.shard.confirm(deadline).await?;
        } else if !self.shard.group().has_recovered() {
            return Err(ReadError::Unavailable("still starting".to_owned()));
        }
        Ok(self.shard.replica().control(|state, _| state.comets().cloned().collect()))
    }
}
