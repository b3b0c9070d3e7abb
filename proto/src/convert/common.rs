//! Converts the nouns every contract shares.

use orrery_model as model;
use orrery_model::message;

use super::{Fault, WireError, by_value, id, optional, required, unknown};
use crate::common as wire;

impl From<model::Kind> for wire::Kind {
    fn from(kind: model::Kind) -> Self {
        match kind {
            model::Kind::User => Self::User,
            model::Kind::Key => Self::Key,
            model::Kind::Room => Self::Room,
        }
    }
}

impl TryFrom<wire::Kind> for model::Kind {
    type Error = WireError;

    fn try_from(kind: wire::Kind) -> Result<Self, WireError> {
        match kind {
            wire::Kind::User => Ok(Self::User),
            wire::Kind::Key => Ok(Self::Key),
            wire::Kind::Room => Ok(Self::Room),
            wire::Kind::Unspecified => Err(unknown("address.kind", 0)),
        }
    }
}

impl From<&model::Address> for wire::Address {
    fn from(address: &model::Address) -> Self {
        Self {
            namespace: address.namespace_text().to_owned(),
            kind: wire::Kind::from(address.kind).into(),
            id: address.id.as_str().to_owned(),
        }
    }
}

impl TryFrom<wire::Address> for model::Address {
    type Error = WireError;

    fn try_from(wire: wire::Address) -> Result<Self, WireError> {
        let kind = wire::Kind::try_from(wire.kind);
        let kind = kind.map_err(|_| unknown("address.kind", wire.kind))?.try_into()?;
        let namespace = match wire.namespace {
            text if text.is_empty() => None,
            text => Some(id(text, "address.namespace")?),
        };
        Ok(Self { namespace, kind, id: id(wire.id, "address.id")? })
    }
}

impl From<&model::CometRef> for wire::CometRef {
    fn from(comet: &model::CometRef) -> Self {
        Self { id: comet.id.as_str().to_owned(), incarnation: comet.incarnation.0 }
    }
}

impl TryFrom<wire::CometRef> for model::CometRef {
    type Error = WireError;

    fn try_from(wire: wire::CometRef) -> Result<Self, WireError> {
        let incarnation = model::Incarnation(wire.incarnation);
        Ok(Self { id: id(wire.id, "comet_ref.id")?, incarnation })
    }
}

impl From<&model::Primary> for wire::Primary {
    fn from(primary: &model::Primary) -> Self {
        Self { address: Some((&primary.address).into()), seq: primary.seq.0 }
    }
}

impl TryFrom<wire::Primary> for model::Primary {
    type Error = WireError;

    fn try_from(wire: wire::Primary) -> Result<Self, WireError> {
        let address = required(wire.address, "primary.address")?;
        Ok(Self { address, seq: model::Seq(wire.seq) })
    }
}

impl From<&model::Details> for wire::Details {
    fn from(details: &model::Details) -> Self {
        Self {
            platform: details.platform.clone(),
            device: details.device.clone(),
            labels: details.labels.clone(),
            rooms: details.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
            rooms_version: details.rooms_version.0,
            primary: details.primary.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<wire::Details> for model::Details {
    type Error = WireError;

    fn try_from(wire: wire::Details) -> Result<Self, WireError> {
        let rooms = wire.rooms.into_iter().map(|room| id(room, "details.rooms"));
        Ok(Self {
            platform: wire.platform,
            device: wire.device,
            labels: wire.labels,
            rooms: rooms.collect::<Result<_, _>>()?,
            rooms_version: model::Version(wire.rooms_version),
            primary: optional(wire.primary)?,
        })
    }
}

impl From<&model::Route> for wire::Route {
    fn from(route: &model::Route) -> Self {
        Self {
            seq: route.seq.0,
            comet: Some((&route.comet).into()),
            conn: route.conn.0,
            details: Some((&route.details).into()),
            bound_at_ms: route.bound_at_ms,
        }
    }
}

impl TryFrom<wire::Route> for model::Route {
    type Error = WireError;

    fn try_from(wire: wire::Route) -> Result<Self, WireError> {
        Ok(Self {
            seq: model::Seq(wire.seq),
            comet: required(wire.comet, "route.comet")?,
            conn: model::Conn(wire.conn),
            details: optional(wire.details)?.unwrap_or_default(),
            bound_at_ms: wire.bound_at_ms,
        })
    }
}

impl From<&model::Policy> for wire::Policy {
    fn from(policy: &model::Policy) -> Self {
        use wire::policy::{Keep, Scope};
        let (scope, n) = match policy.scope {
            model::Scope::All => (Scope::Unspecified, 0),
            model::Scope::PerAddress { n } => (Scope::PerAddress, n),
            model::Scope::PerPlatform => (Scope::PerPlatform, 0),
        };
        let keep = match policy.keep {
            model::Keep::Newest => Keep::Unspecified,
            model::Keep::Oldest => Keep::Oldest,
        };
        Self { scope: scope.into(), n, keep: keep.into() }
    }
}

impl TryFrom<wire::Policy> for model::Policy {
    type Error = WireError;

    fn try_from(wire: wire::Policy) -> Result<Self, WireError> {
        use wire::policy::{Keep, Scope};
        let scope = match Scope::try_from(wire.scope) {
            Ok(Scope::Unspecified) => model::Scope::All,
            Ok(Scope::PerAddress) => model::Scope::PerAddress { n: wire.n },
            Ok(Scope::PerPlatform) => model::Scope::PerPlatform,
            Err(_) => return Err(unknown("policy.scope", wire.scope)),
        };
        let keep = match Keep::try_from(wire.keep) {
            Ok(Keep::Unspecified) => model::Keep::Newest,
            Ok(Keep::Oldest) => model::Keep::Oldest,
            Err(_) => return Err(unknown("policy.keep", wire.keep)),
        };
        Ok(Self { scope, keep })
    }
}

impl From<&model::SlotTable> for wire::SlotTable {
    fn from(table: &model::SlotTable) -> Self {
        let owners = table.owners().iter().map(|shard| shard.0).collect();
        Self { epoch: table.epoch, owners }
    }
}

impl TryFrom<wire::SlotTable> for model::SlotTable {
    type Error = WireError;

    fn try_from(wire: wire::SlotTable) -> Result<Self, WireError> {
        let length = wire.owners.len();
        let owners = wire.owners.into_iter().map(model::ShardId).collect();
        Self::new(wire.epoch, owners)
            .ok_or(WireError { field: "slot_table.owners", what: Fault::Length(length) })
    }
}

impl From<&message::Message> for wire::Message {
    fn from(message: &message::Message) -> Self {
        Self { op: message.op, body: message.body.clone() }
    }
}

impl From<wire::Message> for message::Message {
    fn from(wire: wire::Message) -> Self {
        Self { op: wire.op, body: wire.body }
    }
}

by_value! {
    model::Address => wire::Address,
    model::CometRef => wire::CometRef,
    model::Primary => wire::Primary,
    model::Details => wire::Details,
    model::Route => wire::Route,
    model::Policy => wire::Policy,
    model::SlotTable => wire::SlotTable,
    message::Message => wire::Message,
}
