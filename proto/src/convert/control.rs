//! Converts the commands and nouns of the control shard.

use orrery_model as model;
use orrery_model::control;

use super::{
    BATCH_VERSION, WireError, by_value, counters_to_wire, each, id, missing, node_state, required,
};
use crate::registry as wire;

impl From<&control::ControlBatch> for wire::ControlBatch {
    fn from(batch: &control::ControlBatch) -> Self {
        Self {
            version: BATCH_VERSION,
            elapsed_ms: batch.elapsed_ms,
            wall_ms: batch.wall_ms,
            commands: batch.commands.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ControlBatch> for control::ControlBatch {
    type Error = WireError;

    fn try_from(wire: wire::ControlBatch) -> Result<Self, WireError> {
        super::version(wire.version, BATCH_VERSION, "control_batch.version")?;
        let commands = each(wire.commands)?;
        Ok(Self { elapsed_ms: wire.elapsed_ms, wall_ms: wire.wall_ms, commands })
    }
}

impl From<&control::ControlCommand> for wire::ControlCommand {
    fn from(command: &control::ControlCommand) -> Self {
        use control::ControlCommand as Model;
        use wire::control_command::Kind;
        let kind = match command {
            Model::Found(found) => Kind::Found(found.into()),
            Model::Attach(attach) => Kind::Attach(attach.into()),
            Model::Expire(comet) => Kind::Expire(comet.into()),
            Model::Trim { position } => Kind::Trim(wire::Trim { position: *position }),
            Model::AddNode(node) => Kind::AddNode(node.into()),
            Model::UpdateNode(node) => Kind::UpdateNode(node.into()),
            Model::SetNodeState { node, state } => Kind::SetNodeState(wire::SetNodeState {
                node: node.0,
                state: wire::NodeState::from(*state).into(),
            }),
            Model::Place(placement) => Kind::Place(placement.into()),
            Model::Placed(placed) => Kind::Placed(placed.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::ControlCommand> for control::ControlCommand {
    type Error = WireError;

    fn try_from(wire: wire::ControlCommand) -> Result<Self, WireError> {
        use wire::control_command::Kind;
        Ok(match wire.kind.ok_or_else(|| missing("control_command.kind"))? {
            Kind::Found(found) => Self::Found(found.try_into()?),
            Kind::Attach(attach) => Self::Attach(attach.try_into()?),
            Kind::Expire(comet) => Self::Expire(comet.try_into()?),
            Kind::Trim(trim) => Self::Trim { position: trim.position },
            Kind::AddNode(node) => Self::AddNode(node.into()),
            Kind::UpdateNode(node) => Self::UpdateNode(node.into()),
            Kind::SetNodeState(set) => Self::SetNodeState {
                node: model::NodeId(set.node),
                state: node_state(set.state, "set_node_state.state")?,
            },
            Kind::Place(placement) => Self::Place(placement.into()),
            Kind::Placed(placed) => Self::Placed(placed.into()),
        })
    }
}

impl From<&control::Found> for wire::Found {
    fn from(found: &control::Found) -> Self {
        Self {
            cluster_id: found.cluster_id.clone(),
            nodes: found.nodes.iter().map(Into::into).collect(),
            table: Some((&found.table).into()),
            placements: found.placements.iter().map(Into::into).collect(),
            counters: counters_to_wire(&found.counters),
        }
    }
}

impl TryFrom<wire::Found> for control::Found {
    type Error = WireError;

    fn try_from(wire: wire::Found) -> Result<Self, WireError> {
        Ok(Self {
            cluster_id: wire.cluster_id,
            nodes: wire.nodes.into_iter().map(Into::into).collect(),
            table: required(wire.table, "found.table")?,
            placements: wire.placements.into_iter().map(Into::into).collect(),
            counters: wire.counters.map(Into::into).unwrap_or_default(),
        })
    }
}

impl From<&control::Advertise> for wire::Advertise {
    fn from(advertise: &control::Advertise) -> Self {
        Self {
            delivery: advertise.delivery.clone(),
            hostname: advertise.hostname.clone(),
            addresses: advertise.addresses.clone(),
            region: advertise.region.clone(),
            zone: advertise.zone.clone(),
            env: advertise.env.clone(),
            weight: advertise.weight,
        }
    }
}

impl From<wire::Advertise> for control::Advertise {
    fn from(wire: wire::Advertise) -> Self {
        Self {
            delivery: wire.delivery,
            hostname: wire.hostname,
            addresses: wire.addresses,
            region: wire.region,
            zone: wire.zone,
            env: wire.env,
            weight: wire.weight,
        }
    }
}

impl From<&control::Attach> for wire::Attach {
    fn from(attach: &control::Attach) -> Self {
        Self {
            comet: attach.comet.as_str().to_owned(),
            instance: attach.instance.clone(),
            attempt: attach.attempt,
            advertise: Some((&attach.advertise).into()),
        }
    }
}

impl TryFrom<wire::Attach> for control::Attach {
    type Error = WireError;

    fn try_from(wire: wire::Attach) -> Result<Self, WireError> {
        Ok(Self {
            comet: id(wire.comet, "attach.comet")?,
            instance: wire.instance,
            attempt: wire.attempt,
            advertise: wire.advertise.ok_or_else(|| missing("attach.advertise"))?.into(),
        })
    }
}

impl From<&control::Comet> for wire::Comet {
    fn from(comet: &control::Comet) -> Self {
        Self {
            comet: Some((&comet.comet).into()),
            instance: comet.instance.clone(),
            attempt: comet.attempt,
            advertise: Some((&comet.advertise).into()),
            attached_at_ms: comet.attached_at_ms,
        }
    }
}

impl TryFrom<wire::Comet> for control::Comet {
    type Error = WireError;

    fn try_from(wire: wire::Comet) -> Result<Self, WireError> {
        Ok(Self {
            comet: required(wire.comet, "comet.comet")?,
            instance: wire.instance,
            attempt: wire.attempt,
            advertise: wire.advertise.ok_or_else(|| missing("comet.advertise"))?.into(),
            attached_at_ms: wire.attached_at_ms,
        })
    }
}

impl From<&control::FenceEvent> for wire::FenceEvent {
    fn from(event: &control::FenceEvent) -> Self {
        Self {
            position: event.position,
            comet: event.comet.as_str().to_owned(),
            fence: event.fence.0,
        }
    }
}

impl TryFrom<wire::FenceEvent> for control::FenceEvent {
    type Error = WireError;

    fn try_from(wire: wire::FenceEvent) -> Result<Self, WireError> {
        Ok(Self {
            position: wire.position,
            comet: id(wire.comet, "fence_event.comet")?,
            fence: model::Incarnation(wire.fence),
        })
    }
}

by_value! {
    control::ControlBatch => wire::ControlBatch,
    control::ControlCommand => wire::ControlCommand,
    control::Found => wire::Found,
    control::Advertise => wire::Advertise,
    control::Attach => wire::Attach,
    control::Comet => wire::Comet,
    control::FenceEvent => wire::FenceEvent,
}
