//! Lane: one shard's requests to its replica on a peer, in order, on the stream that all shards share.

use std::sync::Arc;

use orrery_model::NodeId;
use orrery_proto::peers as wire;
use tokio::sync::mpsc;

use super::append_stream::{Answer, AppendStream};
use super::link::PeerError;
use super::outgoing::Room;

/// The near end of a lane. Dropping it closes the lane.
pub(crate) struct Lane {
    sender: LaneSender,
    answers: mpsc::Receiver<Answer>,
}

/// The sending side.
#[derive(Clone)]
pub(crate) struct LaneSender {
    stream: Arc<AppendStream>,
    id: u64,
}

/// Room for one request of a lane.
pub(crate) struct LaneRoom {
    room: Room,
    lane: u64,
}

impl Lane {
    pub(super) fn new(stream: Arc<AppendStream>, id: u64, answers: mpsc::Receiver<Answer>) -> Self {
        Self { sender: LaneSender { stream, id }, answers }
    }

    /// The sending side.
    pub(crate) fn sender(&self) -> LaneSender {
        self.sender.clone()
    }

    /// Waits for the next answer; they come in the order of the requests. Cancel-safe.
    ///
    /// # Errors
    /// When the stream broke: nothing of what is unanswered is known.
    pub(crate) async fn answer(&mut self) -> Result<wire::AppendResponse, PeerError> {
        match self.answers.recv().await {
            Some(answer) => Ok(answer),
            None => Err(self.sender.stream.broken()),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.sender.stream.close_lane(self.sender.id);
    }
}

impl LaneSender {
    /// Which node the lane leads to.
    pub(crate) fn node(&self) -> NodeId {
        self.stream.node()
    }

    /// Waits for room for a request of so many bytes. Cancel-safe.
    ///
    /// # Errors
    /// When the stream broke.
    pub(crate) async fn room(&self, bytes: usize) -> Result<LaneRoom, PeerError> {
        Ok(LaneRoom { room: self.stream.room(bytes).await?, lane: self.id })
    }
}

impl LaneRoom {
    /// Sends the request that the room was made for.
    pub(crate) fn put(self, mut request: wire::AppendRequest) {
        request.lane = self.lane;
        self.room.put(request);
    }
}
