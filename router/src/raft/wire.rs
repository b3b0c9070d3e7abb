//! Wire: openraft's requests and answers as our contract between nodes writes them, and back.

use std::io;

use bytes::Bytes;
use openraft::entry::RaftEntry as _;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest,
    VoteRequest, VoteResponse,
};
use orrery_model::ShardId;
use orrery_proto::peers::{self as wire, append_response};

use super::entry::{
    decode_entry, encode_entry, log_id_from_wire, log_id_to_wire, vote_from_wire, vote_to_wire,
};
use super::types::{Entry, Types, Vote};

/// An append as it is sent. Who sends it says on which lane and with which id.
pub(super) fn append_request(
    shard: ShardId,
    request: &AppendEntriesRequest<Types>,
) -> wire::AppendRequest {
    wire::AppendRequest {
        shard: shard.0,
        lane: 0,
        id: 0,
        heartbeat: false,
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.map(log_id_to_wire),
        committed: request.leader_commit.map(log_id_to_wire),
        entries: request.entries.iter().map(encode_entry).collect(),
    }
}

/// An append that arrived. Checks what the core takes for granted.
pub(super) fn append_from_wire(
    request: wire::AppendRequest,
) -> io::Result<AppendEntriesRequest<Types>> {
    let previous = request.previous.map(log_id_from_wire);
    let entries: Vec<Entry> =
        request.entries.into_iter().map(decode_entry).collect::<io::Result<_>>()?;
    let first = previous.map_or(0, |previous| previous.index + 1);
    if !entries.iter().map(|entry| entry.index()).eq((first..).take(entries.len())) {
        return Err(invalid("the entries leave a hole"));
    }
    Ok(AppendEntriesRequest {
        vote: leader_vote(request.vote)?,
        prev_log_id: previous,
        leader_commit: request.committed.map(log_id_from_wire),
        entries,
    })
}

/// What became of an append, as it is sent.
pub(super) fn append_result(result: StreamAppendResult<Types>) -> append_response::Result {
    match result {
        Ok(last) => matched(last.map(log_id_to_wire)),
        Err(StreamAppendError::Conflict(at)) => {
            append_response::Result::Conflict(log_id_to_wire(at))
        }
        Err(StreamAppendError::HigherVote(vote)) => {
            append_response::Result::Higher(vote_to_wire(&vote))
        }
    }
}

/// The log matches up to here.
pub(super) fn matched(last: Option<orrery_proto::storage::LogId>) -> append_response::Result {
    append_response::Result::Matched(wire::Matched { last })
}

/// What became of an append, as it arrived.
///
/// # Errors
/// What the peer could not do, or that its answer cannot be understood.
pub(super) fn append_answer(
    response: wire::AppendResponse,
) -> Result<StreamAppendResult<Types>, String> {
    match response.result {
        Some(append_response::Result::Matched(matched)) => {
            Ok(Ok(matched.last.map(log_id_from_wire)))
        }
        Some(append_response::Result::Conflict(at)) => {
            Ok(Err(StreamAppendError::Conflict(log_id_from_wire(at))))
        }
        Some(append_response::Result::Higher(vote)) => {
            let vote = vote_from_wire(vote).map_err(|error| error.to_string())?;
            Ok(Err(StreamAppendError::HigherVote(vote)))
        }
        Some(append_response::Result::Failure(detail)) => Err(detail),
        None => Err("an answer without a result".to_owned()),
    }
}

/// A request for a vote, or for what one would be, without its envelope.
pub(super) fn vote_request(request: &VoteRequest<Types>, pre_vote: bool) -> wire::VoteRequest {
    wire::VoteRequest {
        envelope: None,
        vote: Some(vote_to_wire(&request.vote)),
        last: request.last_log_id.map(log_id_to_wire),
        pre_vote,
        leadership_transfer: request.leadership_transfer,
    }
}

/// A request for a vote that arrived.
pub(super) fn vote_request_from_wire(request: wire::VoteRequest) -> io::Result<VoteRequest<Types>> {
    Ok(VoteRequest {
        vote: required_vote(request.vote)?,
        last_log_id: request.last.map(log_id_from_wire),
        leadership_transfer: request.leadership_transfer,
    })
}

/// An answer to a request for a vote.
pub(super) fn vote_response(response: &VoteResponse<Types>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        granted: response.vote_granted,
        last: response.last_log_id.map(log_id_to_wire),
    }
}

/// An answer that arrived.
pub(super) fn vote_response_from_wire(
    response: wire::VoteResponse,
) -> io::Result<VoteResponse<Types>> {
    Ok(VoteResponse {
        vote: required_vote(response.vote)?,
        vote_granted: response.granted,
        last_log_id: response.last.map(log_id_from_wire),
    })
}

/// A leader's word that another node should follow it, without its envelope.
pub(super) fn transfer_request(
    request: &TransferLeaderRequest<Types>,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        envelope: None,
        from_vote: Some(vote_to_wire(request.from_leader())),
        last: request.last_log_id().copied().map(log_id_to_wire),
        successor: *request.to_node_id(),
    }
}

/// A leader's word that arrived.
pub(super) fn transfer_from_wire(
    request: wire::TransferLeaderRequest,
) -> io::Result<TransferLeaderRequest<Types>> {
    let last = request.last.map(log_id_from_wire);
    Ok(TransferLeaderRequest::new(required_vote(request.from_vote)?, request.successor, last))
}

/// A vote that has to be there.
pub(super) fn required_vote(vote: Option<orrery_proto::storage::Vote>) -> io::Result<Vote> {
    vote_from_wire(vote.ok_or_else(|| invalid("the vote is missing"))?)
}

/// The vote of a leader: a majority gave it.
pub(super) fn leader_vote(vote: Option<orrery_proto::storage::Vote>) -> io::Result<Vote> {
    let vote = required_vote(vote)?;
    match vote.committed {
        true => Ok(vote),
        false => Err(invalid("the sender was not elected")),
    }
}

fn invalid(detail: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}

/// Bytes of entries, for the limits of what is under way.
pub(super) fn entries_bytes(entries: &[Bytes]) -> usize {
    entries.iter().map(Bytes::len).sum()
}
