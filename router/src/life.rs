//! Life: what a node goes through. It opens its disk; where that belongs to no cluster yet, the node waits
//! to be taken into one, or founds one alone; then it is a member until it stops.

use std::sync::Arc;

use orrery_host::{Host, Listener, Tasks};
use orrery_model::cluster::Node;
use orrery_router_store::{Blank, Disk, Identity, Store, StoreError};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::blocking::blocking;
use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{LET_GO_LOOK, LET_GO_TIMEOUT};
use crate::lobby::{AdoptError, Lobby, Offer, Phase, repeat};
use crate::member::{Beginning, Member};
use crate::metrics::Metrics;
use crate::plan;

/// A node's life: to be run by a task. Dropping it ends the node as a crash would.
pub(crate) struct Life {
    pub(crate) config: Arc<Config>,
    pub(crate) host: Host,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) lobby: Arc<Lobby>,
    pub(crate) offers: mpsc::Receiver<Offer>,
    pub(crate) peers_listener: Box<dyn Listener>,
    pub(crate) failure: Failure,
    pub(crate) metrics: Metrics,
    pub(crate) end: watch::Receiver<bool>,
}

/// What a node begins with.
pub(crate) enum Found {
    Blank(Blank),
    Member(Arc<dyn Store>),
}

impl Life {
    /// Runs until it is told to end, or fails.
    pub(crate) async fn run(mut self, found: Found) {
        let store = match found {
            Found::Member(store) => store,
            Found::Blank(blank) => {
                self.lobby.enter(Phase::Blank(blank.clone()));
                let mut end = self.end.clone();
                tokio::select! {
                    biased;
                    _ = end.wait_for(|end| *end) => return,
                    store = self.taken_in(&blank) => match store {
                        Some(store) => store,
                        None => return,
                    },
                }
            }
        };
        let identity = store.identity().clone();
        self.lobby.enter(Phase::Joining(identity.clone()));
        let held = store.clone();
        let beginning = Beginning {
            config: self.config,
            host: self.host,
            store,
            node: self.lobby.node(),
            peers_listener: self.peers_listener,
            failure: self.failure.clone(),
            metrics: self.metrics,
        };
        let member = match Member::start(beginning).await {
            Ok(member) => member,
            Err(error) => {
                self.failure.report(error.to_string());
                return;
            }
        };
        let Identity { cluster_id, node, .. } = &identity;
        tracing::info!(%node, cluster_id, "the node is a member");
        self.lobby.enter(Phase::Member(identity, Arc::downgrade(&member)));
        // An error says that the handle was dropped: the node ends as a crash would.
        let in_order = self.end.wait_for(|end| *end).await.is_ok();
        self.lobby.enter(Phase::Gone);
        if in_order {
            member.end().await;
            drop(member);
            let_go(held).await;
        }
    }

    /// Waits until the blank directory was made a member's. None when nobody can do so any more.
    async fn taken_in(&mut self, blank: &Blank) -> Option<Arc<dyn Store>> {
        if self.config.found_alone {
            let identity = alone(&self.config, &self.host, &self.lobby.node());
            return match self.adopt(identity).await {
                Ok(store) => {
                    self.take_in(store.identity());
                    Some(store)
                }
                Err(error) => {
                    self.failure.report(format!("the data directory: {error}"));
                    None
                }
            };
        }
        tracing::info!(node = %blank.node, "the node belongs to no cluster yet, and waits for one");
        loop {
            let (identity, answer) = self.offers.recv().await?;
            match self.adopt(identity).await {
                Ok(store) => {
                    // Before the answer: who has it may ask for the next thing at once.
                    self.take_in(store.identity());
                    let _ = answer.send(Ok(()));
                    return Some(store);
                }
                Err(error) => {
                    tracing::error!(%error, "the data directory was not made a member's");
                    let _ = answer.send(Err(AdoptError::Disk(error.to_string())));
                }
            }
        }
    }

    /// Says whose the directory is, and answers what else was offered meanwhile.
    fn take_in(&mut self, held: &Identity) {
        self.lobby.enter(Phase::Joining(held.clone()));
        while let Ok((asked, answer)) = self.offers.try_recv() {
            let _ = answer.send(repeat(held, &asked));
        }
        self.offers.close();
    }

    async fn adopt(&self, identity: Identity) -> std::io::Result<Arc<dyn Store>> {
        let disk = self.disk.clone();
        let adopt = move || disk.adopt(identity).map_err(std::io::Error::other);
        blocking(&self.host.tasks, "adopt", adopt).await
    }
}

/// Waits until nobody else has the directory open, and closes it: what openraft runs beside its cores ends
/// by itself a moment after them.
async fn let_go(held: Arc<dyn Store>) {
    let others_end = async {
        while Arc::strong_count(&held) > 1 {
            sleep(LET_GO_LOOK).await;
        }
    };
    if timeout(LET_GO_TIMEOUT, others_end).await.is_err() {
        tracing::warn!("the data directory is still open after the node has ended");
    }
}

/// The identity of a cluster that is this node.
fn alone(config: &Config, host: &Host, node: &Node) -> Identity {
    let shards = config.shards_alone();
    let found = plan::alone(host.random.uuid(), node.clone(), shards);
    Identity {
        cluster_id: found.cluster_id.clone(),
        node: node.id,
        instance: node.instance.clone(),
        shards,
        founding: plan::encode(&found),
    }
}

/// Opens a node's disk.
///
/// # Errors
/// See [`StoreError`].
pub(crate) async fn open(disk: Arc<dyn Disk>, tasks: &Arc<dyn Tasks>) -> Result<Found, StoreError> {
    let (told, result) = tokio::sync::oneshot::channel();
    let open = move || {
        // Who waits below does so for as long as this runs.
        let _ = told.send(disk.open());
    };
    tasks.blocking("open-disk", Box::new(open)).await;
    let opened = result.await.expect("opening a disk does not panic");
    Ok(match opened? {
        orrery_router_store::Opened::Blank(blank) => Found::Blank(blank),
        orrery_router_store::Opened::Member(store) => Found::Member(store),
    })
}
