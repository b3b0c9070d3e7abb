//! Thrift: how a node gets room again by itself. While its disk is below the reserve its shards write snapshots
//! one at a time, as long as they fit, and let their logs go; once it has room they make up for those that
//! were put off.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::ShardId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::limits::{ROOM_LOOK, SNAPSHOT_TIMEOUT, THRIFT_ENTRIES_PERCENT, THRIFT_PAUSE};
use crate::raft::group::Group;
use crate::raft::little_room::LittleRoomError;
use crate::room::Room;
use crate::shards::Shards;
use crate::surroundings::Surroundings;

/// What was last tried for a shard since the disk fell below its reserve.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at: Instant,
    written: bool,
}

/// Runs until it is dropped.
pub(crate) async fn run(around: Surroundings, shards: Arc<Shards>) {
    let mut seen = around.room.watch();
    let mut tried: BTreeMap<ShardId, Tried> = BTreeMap::new();
    loop {
        seen.mark_unchanged();
        for group in shards.groups() {
            match around.room.is_full() {
                true => {
                    let before = tried.get(&group.shard()).copied();
                    if let Some(now) = save(&around, &group, before).await {
                        tried.insert(group.shard(), now);
                    }
                }
                false => {
                    tried.clear();
                    make_up(&group).await;
                }
            }
        }
        tokio::select! {
            biased;
            changed = seen.changed() => if changed.is_err() { return },
            () = sleep(ROOM_LOOK) => {}
        }
    }
}

/// Lets a shard take less of the disk, if it can; what was tried, if anything.
async fn save(around: &Surroundings, group: &Group, before: Option<Tried>) -> Option<Tried> {
    let shard = group.shard();
    if let Err(error) = group.let_log_go().await {
        tracing::debug!(%shard, %error, "the shard's log is not let go");
    }
    let entries_least = match before {
        Some(tried) if tried.at.elapsed() < THRIFT_PAUSE => return None,
        Some(Tried { written: true, .. }) => {
            group.snapshot_entries().saturating_mul(THRIFT_ENTRIES_PERCENT) / 100
        }
        _ => 0,
    };
    if group.entries_since_snapshot() < entries_least.max(1) {
        return None;
    }
    let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
    let written = match write_snapshot(&around.room, group, deadline).await {
        Ok(index) => {
            tracing::info!(%shard, index, "a snapshot was written below the reserve");
            true
        }
        Err(error) => {
            tracing::warn!(%shard, %error, "no snapshot below the reserve");
            false
        }
    };
    Some(Tried { at: Instant::now(), written })
}

/// Has a snapshot written although the disk is below its reserve, if it fits, and lets the log go that it
/// stands for. Gives its log index.
///
/// # Errors
/// See [`LittleRoomError`].
pub(crate) async fn write_snapshot(
    room: &Room,
    group: &Group,
    deadline: Instant,
) -> Result<u64, LittleRoomError> {
    let turn = timeout_at(deadline, room.turns().acquire_owned()).await;
    let _turn = turn.map_err(|_| LittleRoomError::Late)?;
    let index = group.snapshot_in_little_room(deadline).await?;
    group.let_log_go().await?;
    Ok(index)
}

/// Writes the snapshot that was put off: the core asks once and counts entries from there.
async fn make_up(group: &Group) {
    let shard = group.shard();
    if group.entries_since_snapshot() >= group.snapshot_entries()
        && let Err(error) = group.snapshot_now().await
    {
        tracing::debug!(%shard, %error, "a snapshot that is due is not begun");
    }
}
