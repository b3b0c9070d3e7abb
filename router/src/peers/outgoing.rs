//! Outgoing: requests that wait for the connection, and leave together as soon as it takes a message.
//! While it is busy they gather by themselves; nothing waits for others to come.

use std::sync::Arc;

use orrery_proto::peers as wire;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::limits::{
    PEER_HEARTBEATS_WAITING_MAX, PEER_MESSAGE_BYTES, PEER_QUEUE_BYTES_MAX,
    PEER_REQUESTS_WAITING_MAX,
};

/// Bytes by which the room in the queue is counted.
const UNIT: usize = 1024;

/// A request in the queue; its room is free again once it left.
struct Queued {
    request: wire::AppendRequest,
    bytes: usize,
    _room: Option<OwnedSemaphorePermit>,
}

/// The near end.
pub(super) struct Outgoing {
    heartbeats: mpsc::Sender<Queued>,
    appends: mpsc::Sender<Queued>,
    bytes: Arc<Semaphore>,
}

/// The far end.
pub(super) struct Departing {
    heartbeats: mpsc::Receiver<Queued>,
    appends: mpsc::Receiver<Queued>,
    /// Taken from the queue, but too large for the message that was being filled.
    held: Option<Queued>,
}

/// The queue's end is gone: nothing leaves any more.
#[derive(Debug)]
pub(super) struct Closed;

/// Room for one request.
pub(super) struct Room {
    place: mpsc::OwnedPermit<Queued>,
    bytes: usize,
    room: OwnedSemaphorePermit,
}

impl Room {
    /// Puts the request that the room was made for into the queue.
    pub(super) fn put(self, request: wire::AppendRequest) {
        self.place.send(Queued { request, bytes: self.bytes, _room: Some(self.room) });
    }
}

pub(super) fn outgoing() -> (Outgoing, Departing) {
    let (heartbeats, beating) = mpsc::channel(PEER_HEARTBEATS_WAITING_MAX);
    let (appends, appending) = mpsc::channel(PEER_REQUESTS_WAITING_MAX);
    let bytes = Arc::new(Semaphore::new(PEER_QUEUE_BYTES_MAX / UNIT));
    (
        Outgoing { heartbeats, appends, bytes },
        Departing { heartbeats: beating, appends: appending, held: None },
    )
}

impl Outgoing {
    /// Waits for room. Cancel-safe.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, Closed> {
        // What is larger than the whole queue goes alone.
        let units = (bytes / UNIT + 1).min(PEER_QUEUE_BYTES_MAX / UNIT);
        let units = u32::try_from(units).expect("the queue's limit is small");
        let room = self.bytes.clone().acquire_many_owned(units).await.map_err(|_| Closed)?;
        let place = self.appends.clone().reserve_owned().await.map_err(|_| Closed)?;
        Ok(Room { place, bytes, room })
    }

    /// Bytes of appends that wait or have room.
    pub(super) fn bytes(&self) -> usize {
        PEER_QUEUE_BYTES_MAX - self.bytes.available_permits() * UNIT
    }

    /// Puts a heartbeat before all appends; false where too many wait.
    pub(super) fn heartbeat(&self, request: wire::AppendRequest) -> bool {
        let bytes = request.encoded_len();
        self.heartbeats.try_send(Queued { request, bytes, _room: None }).is_ok()
    }
}

impl Departing {
    /// Waits for requests and takes as many as fit one message; none once the near end is gone.
    pub(super) async fn next(&mut self) -> Vec<wire::AppendRequest> {
        let mut message = Vec::new();
        let first = match self.held.take() {
            Some(held) => Some(held),
            None => {
                tokio::select! {
                    // Heartbeats first: the appends that wait can be many.
                    biased;
                    Some(first) = self.heartbeats.recv() => Some(first),
                    Some(first) = self.appends.recv() => Some(first),
                    else => None,
                }
            }
        };
        let Some(first) = first else { return message };
        let mut bytes = first.bytes;
        message.push(first.request);
        // Whoever is ready to send, but has not been run yet, gets into the same message.
        tokio::task::yield_now().await;
        while let Some(next) = self.try_next() {
            if bytes + next.bytes > PEER_MESSAGE_BYTES {
                self.held = Some(next);
                break;
            }
            bytes += next.bytes;
            message.push(next.request);
        }
        message
    }

    fn try_next(&mut self) -> Option<Queued> {
        self.heartbeats.try_recv().or_else(|_| self.appends.try_recv()).ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt as _;

    use super::*;

    fn request(id: u64, bytes: usize) -> wire::AppendRequest {
        wire::AppendRequest { id, entries: vec![Bytes::from(vec![0; bytes])], ..Default::default() }
    }

    async fn put(outgoing: &Outgoing, id: u64, bytes: usize) {
        let request = request(id, bytes);
        outgoing.room(request.encoded_len()).await.unwrap().put(request);
    }

    fn ids(message: &[wire::AppendRequest]) -> Vec<u64> {
        message.iter().map(|request| request.id).collect()
    }

    #[tokio::test]
    async fn what_waits_leaves_together_and_heartbeats_first() {
        let (outgoing, mut departing) = outgoing();
        for id in 0..10 {
            put(&outgoing, id, 10).await;
        }
        assert!(outgoing.heartbeat(request(99, 0)));
        assert_eq!(ids(&departing.next().await), [99, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert!(departing.next().now_or_never().is_none(), "nothing is left");
    }

    #[tokio::test]
    async fn a_message_is_bounded_in_bytes_unless_one_request_is_larger() {
        let (outgoing, mut departing) = outgoing();
        let third = PEER_MESSAGE_BYTES / 3;
        for id in 0..4 {
            put(&outgoing, id, third).await;
        }
        assert_eq!(ids(&departing.next().await), [0, 1]);
        assert_eq!(ids(&departing.next().await), [2, 3]);
        put(&outgoing, 4, PEER_MESSAGE_BYTES + 1).await;
        put(&outgoing, 5, 1).await;
        assert_eq!(ids(&departing.next().await), [4]);
        assert_eq!(ids(&departing.next().await), [5]);
    }

    #[tokio::test]
    async fn a_connection_that_takes_nothing_stops_the_appends_but_not_the_heartbeats() {
        let (outgoing, mut departing) = outgoing();
        let bytes = PEER_QUEUE_BYTES_MAX / 4;
        for id in 0..3 {
            put(&outgoing, id, bytes).await;
        }
        assert!(outgoing.room(bytes).now_or_never().is_none(), "the queue is full in bytes");
        assert!(outgoing.heartbeat(request(99, 0)));
        assert_eq!(ids(&departing.next().await), [99]);
        assert_eq!(ids(&departing.next().await), [0]);
        assert!(outgoing.room(bytes).now_or_never().is_some(), "what left made room");
    }

    #[tokio::test]
    async fn who_waits_for_room_learns_that_the_end_is_gone() {
        let (outgoing, departing) = outgoing();
        drop(departing);
        assert!(outgoing.room(1).await.is_err());
        assert!(!outgoing.heartbeat(request(1, 0)));
    }
}
