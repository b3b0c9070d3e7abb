//! Converts the replies that commands of data shards are answered with.

use orrery_model as model;
use orrery_model::command::{Bound, Loser, Outcome, Refusal, Reply};

use super::{WireError, by_value, each, missing, required, unknown};
use crate::registry as wire;

/// Stands for the detail of an `INVALID` that arrived: the detail itself is for people and only the
/// refusing node can spell it.
const INVALID_ELSEWHERE: &str = "refused by the registry";

impl From<&Loser> for wire::Loser {
    fn from(loser: &Loser) -> Self {
        Self {
            address: Some((&loser.address).into()),
            comet: Some((&loser.comet).into()),
            conn: loser.conn.0,
            seq: loser.seq.0,
        }
    }
}

impl TryFrom<wire::Loser> for Loser {
    type Error = WireError;

    fn try_from(wire: wire::Loser) -> Result<Self, WireError> {
        Ok(Self {
            address: required(wire.address, "loser.address")?,
            comet: required(wire.comet, "loser.comet")?,
            conn: model::Conn(wire.conn),
            seq: model::Seq(wire.seq),
        })
    }
}

impl From<&Bound> for wire::Bound {
    fn from(bound: &Bound) -> Self {
        Self { seq: bound.seq.0, losers: bound.losers.iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Bound> for Bound {
    type Error = WireError;

    fn try_from(wire: wire::Bound) -> Result<Self, WireError> {
        Ok(Self { seq: model::Seq(wire.seq), losers: each(wire.losers)? })
    }
}

impl From<&Refusal> for wire::Refusal {
    fn from(refusal: &Refusal) -> Self {
        use wire::refusal::Reason;
        let reason = match refusal {
            Refusal::Gone => Reason::Gone,
            Refusal::Fenced { .. } => Reason::Fenced,
            Refusal::Outranked => Reason::Outranked,
            Refusal::WrongShard { .. } => Reason::WrongShard,
            Refusal::NotBound => Reason::NotBound,
            Refusal::Unsettled => Reason::Unsettled,
            Refusal::Invalid(_) => Reason::Invalid,
        };
        let mut wire = Self { reason: reason.into(), ..Self::default() };
        match refusal {
            Refusal::Fenced { fence } => wire.fence = fence.0,
            Refusal::WrongShard { epoch } => wire.epoch = *epoch,
            Refusal::Invalid(detail) => wire.detail = (*detail).to_owned(),
            Refusal::Gone | Refusal::Outranked | Refusal::NotBound | Refusal::Unsettled => {}
        }
        wire
    }
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = WireError;

    fn try_from(wire: wire::Refusal) -> Result<Self, WireError> {
        use wire::refusal::Reason;
        match Reason::try_from(wire.reason) {
            Ok(Reason::Gone) => Ok(Self::Gone),
            Ok(Reason::Fenced) => Ok(Self::Fenced { fence: model::Incarnation(wire.fence) }),
            Ok(Reason::Outranked) => Ok(Self::Outranked),
            Ok(Reason::WrongShard) => Ok(Self::WrongShard { epoch: wire.epoch }),
            Ok(Reason::NotBound) => Ok(Self::NotBound),
            Ok(Reason::Unsettled) => Ok(Self::Unsettled),
            Ok(Reason::Invalid) => Ok(Self::Invalid(INVALID_ELSEWHERE)),
            Ok(Reason::Unspecified) | Err(_) => Err(unknown("refusal.reason", wire.reason)),
        }
    }
}

impl From<&Reply> for wire::Reply {
    fn from(reply: &Reply) -> Self {
        use wire::reply::Reply as Kind;
        let kind = match reply {
            Ok(Outcome::Bound(bound)) => Kind::Bound(bound.into()),
            Ok(Outcome::Unbound { removed }) => Kind::Unbound(wire::Unbound { removed: *removed }),
            Ok(Outcome::Done) => Kind::Done(wire::Done {}),
            Ok(Outcome::Stale) => Kind::Stale(wire::Stale {}),
            Err(refusal) => Kind::Refusal(refusal.into()),
        };
        Self { reply: Some(kind) }
    }
}

impl TryFrom<wire::Reply> for Reply {
    type Error = WireError;

    fn try_from(wire: wire::Reply) -> Result<Self, WireError> {
        use wire::reply::Reply as Kind;
        Ok(match wire.reply.ok_or_else(|| missing("reply.reply"))? {
            Kind::Bound(bound) => Ok(Outcome::Bound(bound.try_into()?)),
            Kind::Unbound(unbound) => Ok(Outcome::Unbound { removed: unbound.removed }),
            Kind::Done(_) => Ok(Outcome::Done),
            Kind::Stale(_) => Ok(Outcome::Stale),
            Kind::Refusal(refusal) => Err(refusal.try_into()?),
        })
    }
}

by_value! {
    Loser => wire::Loser,
    Bound => wire::Bound,
    Refusal => wire::Refusal,
    Reply => wire::Reply,
}
