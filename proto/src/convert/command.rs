//! Converts the commands of data shards, as sent and as logged.

use orrery_model as model;
use orrery_model::command;

use super::{BATCH_VERSION, WireError, by_value, each, id, missing, optional, required, unknown};
use crate::registry as wire;

impl From<&command::Batch> for wire::Batch {
    fn from(batch: &command::Batch) -> Self {
        Self {
            version: BATCH_VERSION,
            elapsed_ms: batch.elapsed_ms,
            wall_ms: batch.wall_ms,
            commands: batch.commands.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Batch> for command::Batch {
    type Error = WireError;

    fn try_from(wire: wire::Batch) -> Result<Self, WireError> {
        super::version(wire.version, BATCH_VERSION, "batch.version")?;
        let commands = each(wire.commands)?;
        Ok(Self { elapsed_ms: wire.elapsed_ms, wall_ms: wire.wall_ms, commands })
    }
}

impl From<&command::Command> for wire::Command {
    fn from(command: &command::Command) -> Self {
        use command::Command as Model;
        use wire::command::Kind;
        let kind = match command {
            Model::Bind(bind) => Kind::Bind(bind.into()),
            Model::Unbind(unbind) => Kind::Unbind(unbind.into()),
            Model::SetRooms(set) => Kind::SetRooms(set.into()),
            Model::BindRoom(list) => Kind::BindRoom(list.into()),
            Model::UnbindRoom(list) => Kind::UnbindRoom(list.into()),
            Model::ExpireComet(expire) => Kind::ExpireComet(expire.into()),
            Model::Open(open) => Kind::Open(open.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Command> for command::Command {
    type Error = WireError;

    fn try_from(wire: wire::Command) -> Result<Self, WireError> {
        use wire::command::Kind;
        Ok(match wire.kind.ok_or_else(|| missing("command.kind"))? {
            Kind::Bind(bind) => Self::Bind(bind.try_into()?),
            Kind::Unbind(unbind) => Self::Unbind(unbind.try_into()?),
            Kind::SetRooms(set) => Self::SetRooms(set.try_into()?),
            Kind::BindRoom(list) => Self::BindRoom(list.try_into()?),
            Kind::UnbindRoom(list) => Self::UnbindRoom(list.try_into()?),
            Kind::ExpireComet(expire) => Self::ExpireComet(expire.try_into()?),
            Kind::Open(open) => Self::Open(open.try_into()?),
        })
    }
}

impl From<&command::Bind> for wire::Bind {
    fn from(bind: &command::Bind) -> Self {
        Self {
            address: Some((&bind.address).into()),
            comet: Some((&bind.comet).into()),
            conn: bind.conn.0,
            details: Some((&bind.details).into()),
            policy: Some((&bind.policy).into()),
            settled: bind.settled.0,
            rank: bind.rank.map(|rank| rank.0),
        }
    }
}

impl TryFrom<wire::Bind> for command::Bind {
    type Error = WireError;

    fn try_from(wire: wire::Bind) -> Result<Self, WireError> {
        Ok(Self {
            address: required(wire.address, "bind.address")?,
            comet: required(wire.comet, "bind.comet")?,
            conn: model::Conn(wire.conn),
            details: optional(wire.details)?.unwrap_or_default(),
            policy: optional(wire.policy)?.unwrap_or_default(),
            settled: model::Conn(wire.settled),
            rank: wire.rank.map(model::Seq),
        })
    }
}

impl From<&command::Unbind> for wire::Unbind {
    fn from(unbind: &command::Unbind) -> Self {
        let route = match unbind.route {
            command::RouteName::Seq(seq) => wire::unbind::Route::Seq(seq.0),
            command::RouteName::Conn(conn) => wire::unbind::Route::Conn(conn.0),
        };
        Self {
            address: Some((&unbind.address).into()),
            comet: Some((&unbind.comet).into()),
            route: Some(route),
            settled: unbind.settled.0,
        }
    }
}

impl TryFrom<wire::Unbind> for command::Unbind {
    type Error = WireError;

    fn try_from(wire: wire::Unbind) -> Result<Self, WireError> {
        let route = match wire.route.ok_or_else(|| missing("unbind.route"))? {
            wire::unbind::Route::Seq(seq) => command::RouteName::Seq(model::Seq(seq)),
            wire::unbind::Route::Conn(conn) => command::RouteName::Conn(model::Conn(conn)),
        };
        Ok(Self {
            address: required(wire.address, "unbind.address")?,
            comet: required(wire.comet, "unbind.comet")?,
            route,
            settled: model::Conn(wire.settled),
        })
    }
}

impl From<&command::SetRooms> for wire::SetRooms {
    fn from(set: &command::SetRooms) -> Self {
        Self {
            address: Some((&set.address).into()),
            comet: Some((&set.comet).into()),
            seq: set.seq.0,
            rooms: set.rooms.iter().map(|room| room.as_str().to_owned()).collect(),
            version: set.version.0,
        }
    }
}

impl TryFrom<wire::SetRooms> for command::SetRooms {
    type Error = WireError;

    fn try_from(wire: wire::SetRooms) -> Result<Self, WireError> {
        let rooms = wire.rooms.into_iter().map(|room| id(room, "set_rooms.rooms"));
        Ok(Self {
            address: required(wire.address, "set_rooms.address")?,
            comet: required(wire.comet, "set_rooms.comet")?,
            seq: model::Seq(wire.seq),
            rooms: rooms.collect::<Result<_, _>>()?,
            version: model::Version(wire.version),
        })
    }
}

impl From<&command::ListRoom> for wire::ListRoom {
    fn from(list: &command::ListRoom) -> Self {
        Self {
            room: Some((&list.room).into()),
            comet: Some((&list.comet).into()),
            version: list.version.0,
        }
    }
}

impl TryFrom<wire::ListRoom> for command::ListRoom {
    type Error = WireError;

    fn try_from(wire: wire::ListRoom) -> Result<Self, WireError> {
        Ok(Self {
            room: required(wire.room, "list_room.room")?,
            comet: required(wire.comet, "list_room.comet")?,
            version: model::Version(wire.version),
        })
    }
}

impl From<&command::ExpireComet> for wire::ExpireComet {
    fn from(expire: &command::ExpireComet) -> Self {
        Self {
            comet: expire.comet.as_str().to_owned(),
            fence: expire.fence.0,
            position: expire.position,
        }
    }
}

impl TryFrom<wire::ExpireComet> for command::ExpireComet {
    type Error = WireError;

    fn try_from(wire: wire::ExpireComet) -> Result<Self, WireError> {
        Ok(Self {
            comet: id(wire.comet, "expire_comet.comet")?,
            fence: model::Incarnation(wire.fence),
            position: wire.position,
        })
    }
}

impl From<&command::Open> for wire::Open {
    fn from(open: &command::Open) -> Self {
        let slots = open.slots.iter().map(|slot| slot.number().into()).collect();
        Self { slots, epoch: open.epoch, next_seq: open.next_seq.0, floor: open.floor.0 }
    }
}

impl TryFrom<wire::Open> for command::Open {
    type Error = WireError;

    fn try_from(wire: wire::Open) -> Result<Self, WireError> {
        let slot = |number| model::Slot::new(number).ok_or_else(|| unknown("open.slots", number));
        let slots = wire.slots.into_iter().map(slot).collect::<Result<_, _>>()?;
        Ok(Self {
            slots,
            epoch: wire.epoch,
            next_seq: model::Seq(wire.next_seq),
            floor: model::Incarnation(wire.floor),
        })
    }
}

by_value! {
    command::Batch => wire::Batch,
    command::Command => wire::Command,
    command::Bind => wire::Bind,
    command::Unbind => wire::Unbind,
    command::SetRooms => wire::SetRooms,
    command::ListRoom => wire::ListRoom,
    command::ExpireComet => wire::ExpireComet,
    command::Open => wire::Open,
}
