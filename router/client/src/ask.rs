//! Ask: one request to one shard, and what its answer says to do next. Decides, does nothing.

use orrery_model::command::{Command, Refusal, Reply};
use orrery_model::{Address, NodeId, ShardId, Slot};
use orrery_proto::registry::{Failure, failure, request, response};

use crate::error::ClientError;
use crate::outstanding::{Answer, Lost, NotTaken};
use crate::table::Table;

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// To the shard that owns the slot, by the newest table at each attempt.
    Owner(Slot),
    /// To this very shard.
    Shard(ShardId),
}

impl Target {
    pub(crate) fn shard(self, table: &Table) -> ShardId {
        match self {
            Self::Owner(slot) => table.owner(slot),
            Self::Shard(shard) => shard,
        }
    }
}

impl Ask {
    pub(crate) fn read(target: Target, kind: request::Kind) -> Self {
        Self { target, effect: Effect::Read, any_replica: false, kind }
    }

    pub(crate) fn write(target: Target, kind: request::Kind) -> Self {
        Self { target, effect: Effect::Write, any_replica: false, kind }
    }
}

/// What a request does to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: asking again is free.
    Read,
    /// Something, once, however often it is sent: a write with an identity.
    Write,
}

/// One request as it is asked, maybe several times.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) target: Target,
    pub(crate) effect: Effect,
    /// Any replica may answer, so whoever does need not lead.
    pub(crate) any_replica: bool,
    pub(crate) kind: request::Kind,
}

/// What to do after an attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is answered.
    Done(response::Kind, u64),
    /// It will never be.
    Stop(ClientError),
    /// Ask this node, which is said to lead.
    Redirect(NodeId),
    /// Ask again, another node if there is one.
    Elsewhere,
    /// Ask again once there is a table of at least this epoch.
    Refresh(u64),
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) next: Next,
    /// The attempt may have taken effect, or may yet.
    pub(crate) in_doubt: bool,
    pub(crate) detail: String,
}

impl Verdict {
    fn certain(next: Next, detail: impl Into<String>) -> Self {
        Self { next, in_doubt: false, detail: detail.into() }
    }
}

/// The address a write goes by; `None` for those only the registry itself writes.
pub(crate) fn address_of(command: &Command) -> Option<&Address> {
    match command {
        Command::Bind(bind) => Some(&bind.address),
        Command::Unbind(unbind) => Some(&unbind.address),
        Command::SetRooms(set) => Some(&set.address),
        Command::BindRoom(list) | Command::UnbindRoom(list) => Some(&list.room),
        Command::ExpireComet(_) | Command::Open(_) => None,
    }
}

/// Judges an answer that came.
pub(crate) fn judge(answer: Answer) -> Verdict {
    match answer.kind {
        Some(response::Kind::Failure(failure)) => judge_failure(failure),
        Some(response::Kind::Reply(reply)) => match Reply::try_from(reply.clone()) {
            Ok(Err(Refusal::WrongShard { epoch })) => wrong_shard(epoch),
            // What does not decode is the caller's to report.
            _ => {
                let done = Next::Done(response::Kind::Reply(reply), answer.log_index);
                Verdict::certain(done, "answered")
            }
        },
        Some(kind) => Verdict::certain(Next::Done(kind, answer.log_index), "answered"),
        None => unknown("an answer of a kind unknown here".to_owned()),
    }
}

/// Judges an answer that did not come.
pub(crate) fn judge_lost(lost: Lost) -> Verdict {
    Verdict { next: Next::Elsewhere, in_doubt: lost.sent, detail: lost.why.to_owned() }
}

/// Judges a request that was not taken.
pub(crate) fn judge_not_taken(why: NotTaken) -> Verdict {
    match why {
        NotTaken::Closed => Verdict::certain(Next::Elsewhere, "the node cannot be reached"),
        NotTaken::Full => {
            let detail = "too many requests wait for the node".to_owned();
            Verdict::certain(Next::Stop(ClientError::Overloaded { detail: detail.clone() }), detail)
        }
    }
}

fn judge_failure(failure: Failure) -> Verdict {
    use failure::Reason;
    let reason = failure.reason();
    let detail = match failure.detail {
        detail if detail.is_empty() => reason.as_str_name().to_owned(),
        detail => detail,
    };
    match reason {
        Reason::NotLeader if failure.leader != 0 => {
            Verdict::certain(Next::Redirect(NodeId(failure.leader)), detail)
        }
        Reason::NotLeader | Reason::NoShard | Reason::Unavailable => {
            Verdict::certain(Next::Elsewhere, detail)
        }
        Reason::Overloaded => {
            let error = ClientError::Overloaded { detail: detail.clone() };
            Verdict::certain(Next::Stop(error), detail)
        }
        Reason::Invalid => {
            let error = ClientError::Invalid { detail: detail.clone() };
            Verdict::certain(Next::Stop(error), detail)
        }
        Reason::WrongShard => wrong_shard(failure.epoch),
        // A reason this build has no word for promises nothing.
        Reason::Unknown | Reason::Unspecified => unknown(detail),
    }
}

fn wrong_shard(epoch: u64) -> Verdict {
    Verdict::certain(
        Next::Refresh(epoch),
        format!("the shard does not own the slot at table epoch {epoch}"),
    )
}

fn unknown(detail: String) -> Verdict {
    Verdict { next: Next::Elsewhere, in_doubt: true, detail }
}
