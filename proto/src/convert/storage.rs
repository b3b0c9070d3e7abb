//! Converts the records of snapshots.

use orrery_model as model;
use orrery_model::record::{ControlRecord, ShardHead, ShardRecord};

use super::{
    RECORD_VERSION, WireError, by_value, each, id, missing, node_state, required, unknown,
};
use crate::storage as wire;

impl From<&ShardHead> for wire::ShardHead {
    fn from(head: &ShardHead) -> Self {
        Self {
            version: RECORD_VERSION,
            shard: head.shard.0,
            next_seq: head.next_seq.0,
            elapsed_ms: head.elapsed_ms,
            cursor: head.cursor,
            epoch: head.epoch,
            floor: head.floor.0,
        }
    }
}

impl TryFrom<wire::ShardHead> for ShardHead {
    type Error = WireError;

    fn try_from(wire: wire::ShardHead) -> Result<Self, WireError> {
        super::version(wire.version, RECORD_VERSION, "shard_head.version")?;
        Ok(Self {
            shard: model::ShardId(wire.shard),
            next_seq: model::Seq(wire.next_seq),
            elapsed_ms: wire.elapsed_ms,
            cursor: wire.cursor,
            epoch: wire.epoch,
            floor: model::Incarnation(wire.floor),
        })
    }
}

impl From<&ShardRecord> for wire::ShardRecord {
    fn from(record: &ShardRecord) -> Self {
        use wire::shard_record::Kind;
        let kind = match record {
            ShardRecord::Head(head) => Kind::Head(head.into()),
            ShardRecord::Slot(slot) => Kind::Slot(wire::SlotRecord { slot: slot.number().into() }),
            ShardRecord::Route { address, route, losers, rank } => Kind::Route(wire::RouteRecord {
                address: Some(address.into()),
                route: Some(route.into()),
                losers: losers.iter().map(Into::into).collect(),
                rank: rank.map(|rank| rank.0),
            }),
            ShardRecord::Listing { room, comet, version, listed } => {
                Kind::Listing(wire::ListingRecord {
                    room: Some(room.into()),
                    comet: Some(comet.into()),
                    version: version.0,
                    listed: *listed,
                })
            }
            ShardRecord::Fence { comet, fence } => Kind::Fence(fence_record(comet, *fence)),
            ShardRecord::Mark { address, comet, conn, removed, seq, outranked } => {
                Kind::Mark(wire::MarkRecord {
                    address: Some(address.into()),
                    comet: Some(comet.into()),
                    conn: conn.0,
                    removed: *removed,
                    seq: seq.map(|seq| seq.0),
                    outranked: *outranked,
                })
            }
            ShardRecord::Settled { comet, settled } => {
                Kind::Settled(wire::SettledRecord { comet: Some(comet.into()), settled: settled.0 })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::ShardRecord> for ShardRecord {
    type Error = WireError;

    fn try_from(wire: wire::ShardRecord) -> Result<Self, WireError> {
        use wire::shard_record::Kind;
        Ok(match wire.kind.ok_or_else(|| missing("shard_record.kind"))? {
            Kind::Head(head) => Self::Head(head.try_into()?),
            Kind::Slot(wire) => {
                let slot = model::Slot::new(wire.slot);
                Self::Slot(slot.ok_or_else(|| unknown("slot_record.slot", wire.slot))?)
            }
            Kind::Route(wire) => Self::Route {
                address: required(wire.address, "route_record.address")?,
                route: required(wire.route, "route_record.route")?,
                losers: each(wire.losers)?,
                rank: wire.rank.map(model::Seq),
            },
            Kind::Listing(wire) => Self::Listing {
                room: required(wire.room, "listing_record.room")?,
                comet: required(wire.comet, "listing_record.comet")?,
                version: model::Version(wire.version),
                listed: wire.listed,
            },
            Kind::Fence(wire) => Self::Fence {
                comet: id(wire.comet, "fence_record.comet")?,
                fence: model::Incarnation(wire.fence),
            },
            Kind::Mark(wire) => Self::Mark {
                address: required(wire.address, "mark_record.address")?,
                comet: required(wire.comet, "mark_record.comet")?,
                conn: model::Conn(wire.conn),
                removed: wire.removed,
                seq: wire.seq.map(model::Seq),
                outranked: wire.outranked,
            },
            Kind::Settled(wire) => Self::Settled {
                comet: required(wire.comet, "settled_record.comet")?,
                settled: model::Conn(wire.settled),
            },
        })
    }
}

impl From<&ControlRecord> for wire::ControlRecord {
    fn from(record: &ControlRecord) -> Self {
        use wire::control_record::Kind;
        let kind = match record {
            ControlRecord::Head { next_incarnation, next_position, elapsed_ms } => {
                Kind::Head(wire::ControlHead {
                    version: RECORD_VERSION,
                    next_incarnation: next_incarnation.0,
                    next_position: *next_position,
                    elapsed_ms: *elapsed_ms,
                })
            }
            ControlRecord::Found(found) => Kind::Found(found.into()),
            ControlRecord::Comet(comet) => Kind::Comet(comet.into()),
            ControlRecord::Answered { comet, instance, attempt, position } => {
                Kind::Answered(wire::AnsweredRecord {
                    comet: Some(comet.into()),
                    instance: instance.clone(),
                    attempt: *attempt,
                    position: *position,
                })
            }
            ControlRecord::Event(event) => Kind::Event(event.into()),
            ControlRecord::Fence { comet, fence } => Kind::Fence(fence_record(comet, *fence)),
            ControlRecord::Node { node, state } => Kind::Node(wire::NodeRecord {
                node: Some(node.into()),
                state: crate::registry::NodeState::from(*state).into(),
            }),
            ControlRecord::Placement(placement) => Kind::Placement(placement.into()),
            ControlRecord::Placed(placed) => Kind::Placed(placed.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::ControlRecord> for ControlRecord {
    type Error = WireError;

    fn try_from(wire: wire::ControlRecord) -> Result<Self, WireError> {
        use wire::control_record::Kind;
        Ok(match wire.kind.ok_or_else(|| missing("control_record.kind"))? {
            Kind::Head(head) => {
                super::version(head.version, RECORD_VERSION, "control_head.version")?;
                Self::Head {
                    next_incarnation: model::Incarnation(head.next_incarnation),
                    next_position: head.next_position,
                    elapsed_ms: head.elapsed_ms,
                }
            }
            Kind::Found(found) => Self::Found(found.try_into()?),
            Kind::Comet(comet) => Self::Comet(comet.try_into()?),
            Kind::Answered(wire) => Self::Answered {
                comet: required(wire.comet, "answered_record.comet")?,
                instance: wire.instance,
                attempt: wire.attempt,
                position: wire.position,
            },
            Kind::Event(event) => Self::Event(event.try_into()?),
            Kind::Fence(wire) => Self::Fence {
                comet: id(wire.comet, "fence_record.comet")?,
                fence: model::Incarnation(wire.fence),
            },
            Kind::Node(wire) => Self::Node {
                node: wire.node.ok_or_else(|| missing("node_record.node"))?.into(),
                state: node_state(wire.state, "node_record.state")?,
            },
            Kind::Placement(placement) => Self::Placement(placement.into()),
            Kind::Placed(placed) => Self::Placed(placed.into()),
        })
    }
}

fn fence_record(comet: &model::CometId, fence: model::Incarnation) -> wire::FenceRecord {
    wire::FenceRecord { comet: comet.as_str().to_owned(), fence: fence.0 }
}

by_value! {
    ShardHead => wire::ShardHead,
    ShardRecord => wire::ShardRecord,
    ControlRecord => wire::ControlRecord,
}
