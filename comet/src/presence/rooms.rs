//! Rooms in the registry: carries out the listing writes and lets go of empty rooms.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_model::Address;
use orrery_model::command::{Command, ListRoom};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Presence;
use super::listings::ListWrite;
use super::write::WriteError;

/// The registry will not list the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the registry refused the room")]
pub(crate) struct RoomRefused;

impl Presence {
    /// Waits until this comet is listed for each of these joined rooms.
    ///
    /// # Errors
    /// [`RoomRefused`] for good.
    pub(super) async fn listed(
        &self,
        rooms: impl IntoIterator<Item = Address>,
    ) -> Result<(), RoomRefused> {
        let waits: Vec<_> = {
            let mut state = self.state.lock();
            rooms.into_iter().filter_map(|room| state.listings.ensure(&room)).collect()
        };
        if waits.is_empty() {
            return Ok(());
        }
        self.listings_wait.notify_one();
        for wait in waits {
            wait.await.map_err(|_| RoomRefused)?;
        }
        Ok(())
    }
}

/// Carries out listing writes for as long as the comet lives.
pub(super) async fn run(presence: Arc<Presence>) {
    let mut under_way = FuturesUnordered::new();
    let mut sweep = interval(Duration::from_secs(1).min(presence.room_linger.max(STEP)));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        loop {
            let Some(write) = presence.state.lock().listings.poll_write() else { break };
            under_way.push(carry_out(&presence, write));
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = presence.listings_wait.notified() => {}
            _ = sweep.tick() => {
                presence.state.lock().listings.sweep(Instant::now(), presence.room_linger);
            }
        }
    }
}

/// Shortest time between two looks at the empty rooms.
const STEP: Duration = Duration::from_millis(10);

async fn carry_out(presence: &Presence, write: ListWrite) {
    let Some(incarnation) = presence.incarnation() else {
        return presence.state.lock().listings.given_up(&write);
    };
    let comet = presence.comet(incarnation);
    let command = |_settled| {
        let list =
            ListRoom { room: write.room.clone(), comet: comet.clone(), version: write.version };
        if write.list { Command::BindRoom(list) } else { Command::UnbindRoom(list) }
    };
    match presence.write(incarnation, command).await {
        // Stale: a newer version of ours is there already, and its own answer counts.
        Ok(_) => presence.state.lock().listings.written(&write),
        Err(WriteError::Fenced) => presence.state.lock().listings.given_up(&write),
        Err(WriteError::Refused(refusal)) => {
            tracing::error!(room = %write.room, %refusal, "the registry refused a listing");
            presence.state.lock().listings.refused(&write);
        }
    }
}
