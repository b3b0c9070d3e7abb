//! Founding: what makes empty shards a cluster. Runs at every start and does only what is missing.

use std::sync::Arc;

use orrery_model::command::{Command, Open};
use orrery_model::control::{ControlCommand, ControlRefusal, Found, Node, shards_of};
use orrery_model::{ShardId, Slot, SlotTable, ring};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::limits::{UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::shard::DataShard;
use crate::shards::Shards;

/// The epoch of the slot table that a cluster begins with.
const FIRST_EPOCH: u64 = 1;

/// What this node would found the cluster as.
pub(crate) struct Founding {
    pub(crate) cluster_id: String,
    pub(crate) node: Node,
    pub(crate) shards: Arc<Shards>,
    pub(crate) failure: Failure,
    pub(crate) founded: watch::Sender<bool>,
}

impl Founding {
    /// Runs until the cluster is founded and every data shard of this node has opened its slots.
    pub(crate) async fn run(self) {
        if let Err(error) = self.initialize().await {
            self.failure.report(format!("the shards cannot be initialized: {error}"));
            return;
        }
        let Some(table) = self.found().await else { return };
        for shard in self.shards.data() {
            self.open(shard, &table).await;
        }
        tracing::info!(cluster_id = self.cluster_id, epoch = table.epoch, "the cluster is founded");
        self.founded.send_replace(true);
    }

    /// Makes this node the first and only member of each shard that has none. Adding others is a change
    /// of membership, later.
    async fn initialize(&self) -> std::io::Result<()> {
        let members = [(self.node.id, self.node.peers.clone())];
        for group in self.shards.groups() {
            if group.is_initialized().await? {
                group.elect_if_alone().await?;
            } else {
                group.initialize(&members).await?;
            }
        }
        Ok(())
    }

    /// The slot table of the cluster, founding it if need be. None where it belongs to somebody else.
    async fn found(&self) -> Option<SlotTable> {
        let control = self.shards.control();
        let held = || control.replica().control(|control, _| control.found().cloned());
        loop {
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            // Only what is confirmed to be the newest state can say that there is no cluster yet.
            let confirmed = control.confirm(deadline).await.is_ok();
            if let Some(found) = held() {
                if found.cluster_id != self.cluster_id {
                    let theirs = found.cluster_id;
                    self.failure.report(format!("the log belongs to the cluster {theirs}"));
                    return None;
                }
                return Some(found.table);
            }
            if confirmed {
                let command = ControlCommand::Found(self.proposal());
                match control.write(command, deadline).await.map(|written| written.reply) {
                    Ok(Err(refusal @ ControlRefusal::AlreadyFounded { .. })) => {
                        // Somebody was faster; the next look tells whether it was one of us.
                        tracing::debug!(%refusal, "not founded by this node");
                    }
                    Ok(Err(refusal)) => {
                        self.failure.report(format!("the cluster cannot be founded: {refusal}"));
                        return None;
                    }
                    // Founded, or in doubt: the next look tells.
                    Ok(Ok(_)) | Err(_) => {}
                }
            }
            sleep(UPKEEP_PAUSE).await;
        }
    }

    fn proposal(&self) -> Found {
        let shards: Vec<ShardId> = self.shards.data().map(|shard| shard.id()).collect();
        let table =
            ring::propose(FIRST_EPOCH, &shards).expect("a node has at least one data shard");
        Found { cluster_id: self.cluster_id.clone(), nodes: vec![self.node.clone()], table }
    }

    /// Opens the shard's slots unless they are.
    async fn open(&self, shard: &DataShard, table: &SlotTable) {
        debug_assert!(shards_of(table).contains(&shard.id()));
        let slots: Vec<Slot> = table.slots_of(shard.id()).collect();
        let opened = || {
            shard.replica().registry(|registry, _| slots.iter().all(|slot| registry.owns(*slot)))
        };
        loop {
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            let confirmed = shard.confirm(deadline).await.is_ok();
            if opened() {
                return;
            }
            if confirmed {
                let open = Open { slots: slots.clone(), epoch: table.epoch };
                if let Ok(written) = shard.write(Command::Open(open), deadline).await
                    && let Err(refusal) = written.reply
                {
                    let shard = shard.id();
                    self.failure.report(format!("shard {shard} cannot be opened: {refusal}"));
                    return;
                }
            }
            if opened() {
                return;
            }
            sleep(UPKEEP_PAUSE).await;
        }
    }
}
