//! Ask: one request to one shard, and what its answer says to do next. Decides, does nothing.

use std::borrow::Cow;

use orrery_model::command::Command;
use orrery_model::{Address, NodeId, ShardId, Slot};
use orrery_proto::registry as wire;
use orrery_proto::registry::{Failure, Locate, failure, request, response};

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
        Self { target, effect: Effect::Read, any_replica: false, kind, address: None }
    }

    pub(crate) fn write(address: &Address, kind: request::Kind) -> Self {
        let target = Target::Owner(address.slot());
        let address = Some(address.clone());
        Self { target, effect: Effect::Write, any_replica: false, kind, address }
    }

    /// What finds out who leads the shard: a read is asked as it is, of a write only where its address is.
    pub(crate) fn probe(&self) -> request::Kind {
        match &self.address {
            None => self.kind.clone(),
            Some(address) => {
                request::Kind::Locate(Locate { address: Some(address.into()), stale_ok: false })
            }
        }
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

impl Effect {
    /// Its word in metrics and spans.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// One request as it is asked, maybe several times.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) target: Target,
    pub(crate) effect: Effect,
    /// Any replica may answer, so whoever does need not lead.
    pub(crate) any_replica: bool,
    pub(crate) kind: request::Kind,
    /// Of a write: the address it goes by.
    address: Option<Address>,
}

/// What to do after an attempt.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(crate) enum Next {
    /// It is answered.
    Done(response::Kind, u64),
    /// It will never be.
    Stop(ClientError),
    /// Ask this node, which is said to lead.
    Redirect(NodeId),
    /// Ask whoever is remembered: a probe was answered as only the leader does.
    Found,
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
    /// For people.
    pub(crate) detail: Cow<'static, str>,
    /// For metrics.
    pub(crate) outcome: &'static str,
}

impl Verdict {
    fn certain(next: Next, outcome: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { next, in_doubt: false, detail: detail.into(), outcome }
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
    let answered = |kind| Verdict::certain(Next::Done(kind, answer.log_index), "answered", "");
    match answer.kind {
        Some(response::Kind::Failure(failure)) => judge_failure(failure),
        Some(response::Kind::Reply(reply)) => match wrong_epoch(&reply) {
            Some(epoch) => wrong_shard(epoch),
            // What does not decode is the caller's to report.
            None => answered(response::Kind::Reply(reply)),
        },
        Some(kind) => answered(kind),
        None => unknown("an answer of a kind unknown here".to_owned()),
    }
}

/// Judges an answer that did not come.
pub(crate) fn judge_lost(lost: Lost) -> Verdict {
    let Lost { sent: in_doubt, why } = lost;
    Verdict { next: Next::Elsewhere, in_doubt, detail: why.into(), outcome: "lost" }
}

/// Judges a request that was not taken.
pub(crate) fn judge_not_taken(why: NotTaken) -> Verdict {
    match why {
        NotTaken::Closed => {
            Verdict::certain(Next::Elsewhere, "unreachable", "the node cannot be reached")
        }
        NotTaken::Full => {
            let detail = "too many requests wait for the node";
            let error = ClientError::Overloaded { detail: detail.to_owned() };
            Verdict::certain(Next::Stop(error), "full", detail)
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
            Verdict::certain(Next::Redirect(NodeId(failure.leader)), "not_leader", detail)
        }
        Reason::NotLeader => Verdict::certain(Next::Elsewhere, "not_leader", detail),
        Reason::NoShard if failure.leader != 0 => {
            Verdict::certain(Next::Redirect(NodeId(failure.leader)), "no_shard", detail)
        }
        Reason::NoShard => Verdict::certain(Next::Elsewhere, "no_shard", detail),
        Reason::Unavailable => Verdict::certain(Next::Elsewhere, "unavailable", detail),
        // The node gives its leaderships away, or gets space back.
        Reason::DiskFull => Verdict::certain(Next::Elsewhere, "disk_full", detail),
        Reason::Overloaded => {
            let error = ClientError::Overloaded { detail: detail.clone() };
            Verdict::certain(Next::Stop(error), "overloaded", detail)
        }
        Reason::Invalid => {
            let error = ClientError::Invalid { detail: detail.clone() };
            Verdict::certain(Next::Stop(error), "invalid", detail)
        }
        Reason::WrongShard => wrong_shard(failure.epoch),
        // A reason this build has no word for promises nothing.
        Reason::Unknown | Reason::Unspecified => unknown(detail),
    }
}

/// The epoch at which a shard refused a write for not owning its slot.
fn wrong_epoch(reply: &wire::Reply) -> Option<u64> {
    match &reply.reply {
        Some(wire::reply::Reply::Refusal(refusal))
            if refusal.reason() == wire::refusal::Reason::WrongShard =>
        {
            Some(refusal.epoch)
        }
        _ => None,
    }
}

fn wrong_shard(epoch: u64) -> Verdict {
    let detail = format!("the shard does not own the slot at table epoch {epoch}");
    Verdict::certain(Next::Refresh(epoch), "wrong_shard", detail)
}

fn unknown(detail: String) -> Verdict {
    let detail = detail.into();
    Verdict { next: Next::Elsewhere, in_doubt: true, detail, outcome: "unknown" }
}
