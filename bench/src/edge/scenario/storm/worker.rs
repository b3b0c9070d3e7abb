//! Worker: a thread that holds devices of the SDK, which come back by themselves.

use std::sync::Arc;

use orrery_host::Net;
use orrery_sdk::{Client, ClientEvent, NodeList, Options, Pacing, Transport};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::returns::{Returns, Stage};
use crate::edge::client::device::OP;
use crate::edge::client::session::is_over_http;
use crate::edge::limits::{CONNECT_TIMEOUT, HEARTBEAT};
use crate::edge::scenario::FIRST_USER;

/// One thread's part of a storm.
pub(super) struct Worker {
    pub(super) net: Arc<dyn Net>,
    pub(super) transport: Transport,
    pub(super) nodes: NodeList,
    pub(super) pacing: Pacing,
    pub(super) seed: u64,
    pub(super) returns: Arc<Returns>,
    /// Devices that come in at once before the storm.
    pub(super) entering: usize,
}

impl Worker {
    /// Holds these devices until the storm is over.
    pub(super) async fn run(self, numbers: Vec<usize>, stage: watch::Receiver<Stage>) {
        let entering = Arc::new(Semaphore::new(self.entering));
        let mut devices = JoinSet::new();
        for number in numbers {
            let client = self.client(number);
            let (returns, stage) = (self.returns.clone(), stage.clone());
            devices.spawn_local(live(client, returns, stage, entering.clone()));
        }
        while devices.join_next().await.is_some() {}
    }

    fn client(&self, number: usize) -> Client {
        let user = FIRST_USER + number as u64;
        // The list's addresses count, not this one.
        let mut options =
            Options::new(self.transport, "").user(user.to_string()).platform("bench").accepts([OP]);
        // Over HTTP asking for events is a sign of life.
        options.heartbeat = (!is_over_http(self.transport)).then_some(HEARTBEAT);
        options.connect_timeout = CONNECT_TIMEOUT;
        let nodes = self.nodes.clone().beginning_with(number);
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        Client::new(self.net.clone(), options, nodes, self.pacing, seed)
    }
}

/// One device, from its first connect to the end of the storm.
async fn live(
    mut client: Client,
    returns: Arc<Returns>,
    mut stages: watch::Receiver<Stage>,
    entering: Arc<Semaphore>,
) {
    // Nobody closes it.
    let mut entry = entering.acquire_owned().await.ok();
    let mut stage = Stage::Gather;
    let mut is_first = true;
    loop {
        tokio::select! {
            biased;
            // Everybody is cut at the same moment, whatever else happens to them.
            changed = stages.changed() => {
                stage = *stages.borrow_and_update();
                if changed.is_err() || stage == Stage::Over {
                    return;
                }
                drop(client.cut());
            }
            event = client.next() => match event {
                ClientEvent::Connecting { .. } => returns.connecting(),
                ClientEvent::Connected { .. } => {
                    drop(entry.take());
                    returns.entered(stage, is_first);
                    is_first = stage == Stage::Gather;
                }
                ClientEvent::Failed { error, .. } => returns.refused(&error),
                ClientEvent::Gap { away } => returns.gap(away),
                ClientEvent::Lost { .. } => returns.lost(stage),
                ClientEvent::Device(_) => {}
                ClientEvent::Ended { .. } => return returns.given_up(),
            }
        }
    }
}
