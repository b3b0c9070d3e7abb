//! Little room: how a replica writes a snapshot and lets its log go while the disk is below its reserve.
//! Nothing else makes room again on a disk that the node itself has filled.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::group::Group;
use super::snapshot::StateView;
use crate::blocking::blocking;
use crate::limits::{LIVE_SILENCE_MAX, SNAPSHOT_LOOK, SNAPSHOT_ROOM_PERCENT};

/// Why there is no snapshot of what was applied. May be tried again, later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LittleRoomError {
    /// It would hardly fit.
    #[error(
        "the disk is below its reserve: {free_bytes} bytes are free, a snapshot needs {needed_bytes}"
    )]
    NoRoom {
        /// What is left.
        free_bytes: u64,
        /// What it would take, with some to spare.
        needed_bytes: u64,
    },
    /// The disk does not say how much is left, or the core has ended.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// Neither written nor refused.
    #[error("not written in time")]
    Late,
}

impl Group {
    /// After how many entries a snapshot is due.
    pub(crate) fn snapshot_entries(&self) -> u64 {
        self.snapshot_entries
    }

    /// How many entries were applied since the newest snapshot.
    pub(crate) fn entries_since_snapshot(&self) -> u64 {
        let at = self.progress();
        at.applied_index.saturating_sub(at.snapshot_index)
    }

    /// Has a snapshot of everything applied by now written if it fits, and waits for it: its log index. One
    /// at a time on a node, or each would count on the same bytes.
    ///
    /// # Errors
    /// See [`LittleRoomError`].
    pub(crate) async fn snapshot_in_little_room(
        &self,
        deadline: Instant,
    ) -> Result<u64, LittleRoomError> {
        let (view, meta) = self.replica().capture(StateView::of);
        let applied = meta.last_log_id.map_or(0, |id| id.index);
        let store = self.store.clone();
        let (free_bytes, bytes) = blocking(&self.tasks, "measure-snapshot", move || {
            // The state as it is now, not the last snapshot: since then it may have grown much, and there
            // may be none.
            let bytes = view.bytes();
            Ok((store.space().map_err(io::Error::other)?.free_bytes, bytes))
        })
        .await?;
        let needed_bytes = bytes.saturating_mul(SNAPSHOT_ROOM_PERCENT) / 100;
        if free_bytes <= needed_bytes {
            return Err(LittleRoomError::NoRoom { free_bytes, needed_bytes });
        }
        let duty = self.replica().snapshots();
        let _admission = duty.admit();
        let written = async {
            loop {
                let index = self.progress().snapshot_index;
                if index >= applied {
                    return Ok(index);
                }
                // Not only once: while an older one is being written nothing is begun.
                self.snapshot_now().await?;
                sleep(SNAPSHOT_LOOK).await;
            }
        };
        timeout_at(deadline, written).await.unwrap_or(Err(LittleRoomError::Late))
    }

    /// Lets the log go up to the newest snapshot, with what is kept of it for replicas that are a little
    /// behind, as far as those that answer have it.
    ///
    /// # Errors
    /// When the shard's core has ended.
    pub(crate) async fn let_log_go(&self) -> io::Result<()> {
        let at = self.progress();
        // Of who is silent nobody knows how long: it gets a snapshot, like any that was away for long.
        let answering = self.replication().into_values().filter(|replica| {
            let silence = replica.heard_ms.map(Duration::from_millis);
            silence.is_some_and(|silence| silence <= LIVE_SILENCE_MAX)
        });
        let behind = answering.map(|replica| replica.matched).min();
        let upto = behind.map_or(at.snapshot_index, |matched| matched.min(at.snapshot_index));
        match upto > at.purged_index {
            true => self.raft.trigger().purge_log(upto).await.map_err(io::Error::other),
            false => Ok(()),
        }
    }
}
