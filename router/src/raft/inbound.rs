//! Inbound: what other nodes' replicas of a shard ask of this one.

use std::cmp::Ordering;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::raft::{AppendEntriesResponse, StreamAppendError};
use openraft::type_config::alias::SnapshotOf;
use orrery_proto::peers::{self as wire, append_response, snapshot_part::Part};
use seeded_bugs::Bug;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;

use super::backlog::{Admitted, Backlog, Taken, Unanswered};
use super::entry::{decode_meta, log_id_to_wire, vote_to_wire};
use super::group::Group;
use super::heard::Heard;
use super::incoming::Incoming;
use super::snapshot::SnapshotFile;
use super::types::Types;
use super::wire as convert;
use crate::limits::{LANE_REQUESTS_MAX, SNAPSHOT_PART_TIMEOUT};
use crate::peers::Refusal;

impl Group {
    /// Answers a request for a vote, or for what one would be.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn handle_vote(
        &self,
        request: wire::VoteRequest,
    ) -> Result<wire::VoteResponse, Refusal> {
        let pre_vote = request.pre_vote;
        let mut request = convert::vote_request_from_wire(request).map_err(malformed)?;
        if seeded_bugs::is(Bug::VoteForShorterLog) {
            let last = self.raft.data_metrics().borrow_watched().last_log;
            request.last_log_id = request.last_log_id.max(last);
        }
        if self.had_acknowledged_beyond(request.last_log_id) {
            return Ok(convert::vote_response(&self.withhold_vote().await.map_err(ended)?));
        }
        let response = match pre_vote {
            true => self.raft.pre_vote(request).await,
            false => self.raft.vote(request).await,
        };
        Ok(convert::vote_response(&response.map_err(ended)?))
    }

    /// Takes the leadership over where the leader asks for it, or lets go of its lease.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn handle_transfer(
        &self,
        request: wire::TransferLeaderRequest,
    ) -> Result<wire::TransferLeaderResponse, Refusal> {
        let request = convert::transfer_from_wire(request).map_err(malformed)?;
        let for_me = request.to_node_id() == self.raft.node_id();
        if for_me && self.had_acknowledged_beyond(request.last_log_id().copied()) {
            let refused = "the leader may lack what this node had acknowledged".to_owned();
            return Ok(wire::TransferLeaderResponse { refused });
        }
        let response = self.raft.handle_transfer_leader(request).await.map_err(ended)?;
        let refused = response.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(wire::TransferLeaderResponse { refused })
    }

    /// Answers a heartbeat: beside all lanes, so that it waits for no append that came before.
    pub(crate) fn handle_heartbeat(
        &self,
        request: wire::AppendRequest,
    ) -> BoxFuture<'static, wire::AppendResponse> {
        let (raft, heard) = (self.raft.clone(), self.heard.clone());
        async move {
            let (id, previous) = (request.id, request.previous);
            let request = match convert::append_from_wire(request) {
                Ok(request) if request.entries.is_empty() => request,
                Ok(_) => return failed(0, id, "MALFORMED: a heartbeat with entries"),
                Err(error) => return failed(0, id, format!("MALFORMED: {error}")),
            };
            let result = match raft.append_entries(request).await {
                Ok(AppendEntriesResponse::HigherVote(vote)) => {
                    append_response::Result::Higher(vote_to_wire(&vote))
                }
                Ok(AppendEntriesResponse::Conflict) => {
                    heard.now();
                    append_response::Result::Conflict(previous.unwrap_or_default())
                }
                Ok(AppendEntriesResponse::Success) => {
                    heard.now();
                    convert::matched(previous)
                }
                Ok(AppendEntriesResponse::PartialSuccess(upto)) => {
                    heard.now();
                    convert::matched(upto.map(log_id_to_wire))
                }
                Err(fatal) => return failed(0, id, format!("ENDED: {fatal}")),
            };
            wire::AppendResponse { lane: 0, id, result: Some(result) }
        }
        .boxed()
    }

    /// Answers a lane's appends, in order, until one does not match or no more come.
    pub(crate) fn handle_lane(
        &self,
        lane: u64,
        requests: mpsc::Receiver<Admitted>,
    ) -> BoxStream<'static, wire::AppendResponse> {
        let (take, taken) = mpsc::channel::<Taken>(LANE_REQUESTS_MAX);
        // Decoded by the task that feeds the core, so that shards decode beside each other.
        let appends = stream::unfold((requests, take), |(mut requests, take)| async move {
            let Admitted { request, room } = requests.recv().await?;
            let id = request.id;
            let (read, append) = match convert::append_from_wire(request) {
                Ok(append) => (Ok(()), Some(append)),
                // Ends the lane, after what came before it.
                Err(error) => (Err(error), None),
            };
            take.send((id, room, read)).await.ok()?;
            Some((append?, (requests, take)))
        });
        let results = self.raft.stream_append(appends).boxed();
        let unanswered = Some(Unanswered { results, taken });
        let (heard, backlog) = (self.heard.clone(), self.backlog.clone());
        let lane = LaneAnswers { lane, unanswered, heard, backlog };
        stream::unfold(Some(lane), |lane| async move { lane?.next().await }).boxed()
    }

    /// What the core was given by lanes; whatever is sent to one has to be admitted there.
    pub(crate) fn backlog(&self) -> Arc<Backlog> {
        self.backlog.clone()
    }

    /// Takes a snapshot in, and installs it once it is whole; until `stop` is ready.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub(crate) async fn handle_snapshot(
        &self,
        begin: wire::SnapshotBegin,
        parts: Streaming<wire::SnapshotPart>,
        stop: impl Future<Output = ()>,
    ) -> Result<wire::SnapshotResponse, Refusal> {
        let mut stop = pin!(stop.map(|()| Refusal::Ended("the node is stopping".to_owned())));
        let vote = convert::leader_vote(begin.vote).map_err(malformed)?;
        let meta = decode_meta(self.shard(), &begin.meta).map_err(malformed)?;
        if meta.last_log_id.is_none_or(|last| last.leader_id.term > vote.leader_id.term) {
            return Err(Refusal::Malformed("the snapshot is newer than its sender".to_owned()));
        }
        let local = self.raft.with_raft_state(|state| *state.vote_ref()).await.map_err(ended)?;
        if vote.partial_cmp(&local).is_none_or(Ordering::is_lt) {
            // Whoever sends it no longer leads: nothing of it is taken.
            return Ok(wire::SnapshotResponse { vote: Some(vote_to_wire(&local)) });
        }
        self.heard.now();
        let busy = |_| Refusal::Ended("another snapshot of the shard is being taken".to_owned());
        let mut turn = tokio::select! {
            biased;
            refusal = &mut stop => return Err(refusal),
            turn = timeout(SNAPSHOT_PART_TIMEOUT, self.turns.next()) => turn.map_err(busy)?,
        };
        let over = async {
            tokio::select! {
                biased;
                refusal = &mut stop => refusal,
                () = turn.superseded() => Refusal::Ended("a newer snapshot has come".to_owned()),
            }
        };
        let file = self.receive(begin.meta, parts, over).await?;
        let snapshot = SnapshotOf::<Types, SnapshotFile> { meta, snapshot: file };
        let installed = tokio::select! {
            biased;
            // The core goes on with it, and is ended by whoever stops.
            refusal = &mut stop => return Err(refusal),
            installed = self.raft.install_full_snapshot(vote, snapshot) => installed,
        };
        let installed = installed.map_err(ended)?;
        Ok(wire::SnapshotResponse { vote: Some(vote_to_wire(&installed.vote)) })
    }

    /// Takes the parts in, until `over` says why no more are taken. What is being written then is awaited:
    /// whoever comes next finds the store at rest.
    async fn receive(
        &self,
        meta: Bytes,
        mut parts: Streaming<wire::SnapshotPart>,
        over: impl Future<Output = Refusal>,
    ) -> Result<SnapshotFile, Refusal> {
        let mut over = pin!(over);
        let (store, tasks) = (self.store.clone(), self.tasks.clone());
        let mut incoming = Incoming::begin(self.shard(), store, tasks, meta).await.map_err(lost)?;
        loop {
            let part = tokio::select! {
                // First: parts may come without a pause.
                biased;
                refusal = &mut over => return Err(refusal),
                part = timeout(SNAPSHOT_PART_TIMEOUT, parts.message()) => part,
            };
            let part = match part {
                Ok(Ok(Some(part))) => part.part,
                Ok(Ok(None)) => {
                    return Err(Refusal::Malformed("the snapshot breaks off".to_owned()));
                }
                Ok(Err(status)) => return Err(Refusal::Ended(status.message().to_owned())),
                Err(_) => return Err(Refusal::Ended("no part of the snapshot in time".to_owned())),
            };
            match part {
                Some(Part::Data(data)) => incoming = incoming.take(data).await.map_err(lost)?,
                Some(Part::End(end)) => return incoming.end(&end).map_err(malformed),
                Some(Part::Begin(_)) | None => {
                    return Err(Refusal::Malformed("a part that does not belong there".to_owned()));
                }
            }
        }
    }
}

/// A lane's answers, each with the id of its request.
struct LaneAnswers {
    lane: u64,
    /// Always there until this is dropped.
    unanswered: Option<Unanswered>,
    heard: Heard,
    backlog: Arc<Backlog>,
}

impl Drop for LaneAnswers {
    fn drop(&mut self) {
        if let Some(unanswered) = self.unanswered.take() {
            self.backlog.abandon(unanswered);
        }
    }
}

impl LaneAnswers {
    /// The next answer, and what is left of the lane unless that was the last one.
    async fn next(mut self) -> Option<(wire::AppendResponse, Option<Self>)> {
        let unanswered = self.unanswered.as_mut()?;
        let result = unanswered.results.next().await;
        let (id, _room, read) = unanswered.taken.recv().await?;
        if let Err(error) = read {
            return Some((failed(self.lane, id, format!("MALFORMED: {error}")), None));
        }
        match result {
            Some(Ok(result)) => {
                if !matches!(result, Err(StreamAppendError::HigherVote(_))) {
                    self.heard.now();
                }
                let goes_on = result.is_ok();
                let result = Some(convert::append_result(result));
                let answer = wire::AppendResponse { lane: self.lane, id, result };
                Some((answer, goes_on.then_some(self)))
            }
            Some(Err(fatal)) => Some((failed(self.lane, id, format!("ENDED: {fatal}")), None)),
            None => Some((failed(self.lane, id, "ENDED: the shard's core has ended"), None)),
        }
    }
}

fn failed(lane: u64, id: u64, detail: impl Into<String>) -> wire::AppendResponse {
    let result = Some(append_response::Result::Failure(detail.into()));
    wire::AppendResponse { lane, id, result }
}

fn malformed(error: io::Error) -> Refusal {
    Refusal::Malformed(error.to_string())
}

/// The store did not take the snapshot; only the snapshot is lost.
fn lost(error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::InvalidData => malformed(error),
        _ => Refusal::Ended(format!("the snapshot cannot be stored: {error}")),
    }
}

fn ended(error: impl std::fmt::Display) -> Refusal {
    Refusal::Ended(error.to_string())
}
