//! Backlog: appends that a shard's core was given by lanes and has not answered. A core that waits for its
//! disk answers nothing, and what it was given cannot be taken back: not even when the lane ends and its
//! sender begins another one. So what it holds is counted for all lanes together, also those that nobody
//! listens to any more.

use std::io;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use openraft::errors::Fatal;
use openraft::raft::StreamAppendResult;
use orrery_proto::peers as wire;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::types::Types;
use super::wire as convert;
use crate::limits::BACKLOG_BYTES_MAX;

/// Bytes by which the room is counted; each request takes one at least.
const UNIT: usize = 1024;

/// What the core of one group holds.
pub(crate) struct Backlog {
    room: Arc<Semaphore>,
    /// Of lanes whose answers nobody takes.
    abandoned: Mutex<Vec<Unanswered>>,
}

/// Room for a request until the core has answered it.
pub(crate) struct Room(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// A request that there is room for.
pub(crate) struct Admitted {
    pub(crate) request: wire::AppendRequest,
    pub(crate) room: Room,
}

/// The requests of one lane that the core has, and its answers.
pub(super) struct Unanswered {
    pub(super) results: BoxStream<'static, Result<StreamAppendResult<Types>, Fatal<Types>>>,
    /// The requests given to the core, in order; or why one could not be.
    pub(super) taken: mpsc::Receiver<Taken>,
}

/// What became of a request: its id, its room, and whether it could be read.
pub(super) type Taken = (u64, Room, io::Result<()>);

impl Backlog {
    pub(super) fn new() -> Arc<Self> {
        let room = Arc::new(Semaphore::new(BACKLOG_BYTES_MAX / UNIT));
        Arc::new(Self { room, abandoned: Mutex::default() })
    }

    /// Room for a request, if there is any.
    pub(crate) fn room(&self, request: &wire::AppendRequest) -> Option<Room> {
        // What is larger than all of it goes alone.
        let units = convert::entries_bytes(&request.entries) / UNIT + 1;
        let units = units.min(BACKLOG_BYTES_MAX / UNIT);
        let units = u32::try_from(units).expect("the limit is small");
        let take = || self.room.clone().try_acquire_many_owned(units).ok();
        let room = take().or_else(|| {
            self.settle();
            take()
        });
        room.map(Room)
    }

    /// Bytes that there is room for.
    #[cfg(test)]
    pub(crate) fn room_left(&self) -> usize {
        self.settle();
        self.room.available_permits() * UNIT
    }

    /// Keeps count of what the core still has of a lane whose answers nobody takes.
    pub(super) fn abandon(&self, mut lane: Unanswered) {
        // What the core has not been given yet it shall not get.
        lane.taken.close();
        self.abandoned.lock().push(lane);
        self.settle();
    }

    /// Gives back the room of what was answered meanwhile.
    fn settle(&self) {
        self.abandoned.lock().retain_mut(|lane| !lane.settle());
    }
}

impl Unanswered {
    /// Takes the answers that are there; true once there is nothing left to wait for.
    fn settle(&mut self) -> bool {
        while !self.taken.is_empty() {
            match self.results.next().now_or_never() {
                Some(Some(_)) => drop(self.taken.try_recv()),
                // The core has ended, or takes nothing more of the lane.
                Some(None) => return true,
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn request(bytes: usize) -> wire::AppendRequest {
        wire::AppendRequest { entries: vec![Bytes::from(vec![0; bytes])], ..Default::default() }
    }

    #[test]
    fn a_request_larger_than_all_room_is_admitted_alone() {
        let backlog = Backlog::new();
        let small = backlog.room(&request(0));
        assert!(small.is_some());
        assert!(backlog.room(&request(2 * BACKLOG_BYTES_MAX)).is_none());
        drop(small);
        assert!(backlog.room(&request(2 * BACKLOG_BYTES_MAX)).is_some());
    }

    #[test]
    fn what_an_abandoned_lane_left_with_the_core_counts_until_it_is_answered() {
        let backlog = Backlog::new();
        let (answer, mut answers) = unbounded_channel();
        let results = stream::poll_fn(move |cx| answers.poll_recv(cx)).boxed();
        let (take, taken) = mpsc::channel(8);
        for id in 0..2 {
            let room = backlog.room(&request(BACKLOG_BYTES_MAX / 2 - UNIT)).unwrap();
            assert!(take.try_send((id, room, Ok(()))).is_ok());
        }
        backlog.abandon(Unanswered { results, taken });
        assert!(take.is_closed(), "the core would be given more");
        assert!(backlog.room(&request(UNIT)).is_none());
        answer.send(Ok(Ok(None))).unwrap();
        let first = backlog.room(&request(UNIT));
        assert!(first.is_some());
        assert!(backlog.room(&request(BACKLOG_BYTES_MAX / 2)).is_none());
        // The core has ended.
        drop(answer);
        assert!(backlog.room(&request(BACKLOG_BYTES_MAX / 2)).is_some());
        assert!(backlog.abandoned.lock().is_empty());
    }
}
