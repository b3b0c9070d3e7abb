//! Parcels: packs the legs of many tickets into deliveries, one for each comet and push, in the order of
//! the pushes. That order is the same in every queue, so no address sees another one.

use std::collections::BTreeMap;
use std::time::Duration;

use orrery_model::CometRef;
use orrery_proto::common;
use orrery_proto::delivery::{Close, Deliver, Target, ToAll, ToConnections, ToRoom, deliver};
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::limits::{COMET_MARGIN_MAX, TARGETS_PER_DELIVERY_MAX};
use crate::push::legs::Journey;
use crate::push::ticket::{Place, What};

/// Names a leg inside a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LegName {
    pub(super) group: usize,
    pub(super) ticket: usize,
    pub(super) leg: usize,
}

/// A delivery with its label.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) deliver: Deliver,
    pub(super) label: Label,
}

/// Whose legs a delivery carries, one for each target, in order, and how long to wait for its receipt.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) legs: Vec<LegName>,
    pub(super) deadline: Instant,
    /// From here until it is answered.
    pub(super) span: Span,
}

/// The parcels of each comet, in the order in which they must leave.
#[derive(Debug, Default)]
pub(super) struct Parcels(BTreeMap<CometRef, BTreeMap<u64, Vec<Parcel>>>);

impl Parcels {
    /// Packs one leg.
    pub(super) fn pack(
        &mut self,
        name: LegName,
        place: &Place,
        journey: &Journey,
        rate: impl FnOnce(&CometRef, u32) -> u32,
    ) {
        let ticket = &journey.ticket;
        let spot = &journey.legs[name.leg].spot;
        let comet = self.0.entry(spot.comet.clone()).or_default();
        let parcels = comet.entry(ticket.number).or_default();
        let address = match place {
            Place::Address(address) => Some(common::Address::from(address)),
            Place::Everybody(_) => None,
        };
        let target = Target { address, conn: spot.conn.0, seq: spot.seq.0 };
        let open =
            parcels.last_mut().filter(|last| last.label.legs.len() < TARGETS_PER_DELIVERY_MAX);
        if let Some(open) = open
            && let Some(targets) = targets(&mut open.deliver)
        {
            targets.push(target);
            open.label.legs.push(name);
            return;
        }
        let sending = &ticket.sending;
        let left = sending.deadline.saturating_duration_since(Instant::now());
        let deliver = Deliver {
            id: 0,
            incarnation: spot.comet.incarnation.0,
            kind: Some(kind(&sending.what, place, target, |all| rate(&spot.comet, all))),
            wait_written: sending.wait_written,
            when_full: sending.when_full.map_or(common::WhenFull::Unspecified, Into::into).into(),
            timeout_ms: millis(left - (left / 5).min(COMET_MARGIN_MAX)),
        };
        let span = tracing::debug_span!(parent: &sending.span, "delivery", comet = %spot.comet, targets = Empty);
        let label = Label { legs: vec![name], deadline: sending.deadline, span };
        parcels.push(Parcel { deliver, label });
    }

    /// What each comet is to be sent.
    pub(super) fn unpack(self) -> impl Iterator<Item = (CometRef, Vec<Parcel>)> {
        self.0.into_iter().map(|(comet, pushes)| (comet, pushes.into_values().flatten().collect()))
    }
}

/// The targets that further legs of the same push can join.
fn targets(deliver: &mut Deliver) -> Option<&mut Vec<Target>> {
    match deliver.kind.as_mut()? {
        deliver::Kind::ToConnections(to) => Some(&mut to.targets),
        deliver::Kind::Close(close) => Some(&mut close.targets),
        deliver::Kind::ToRoom(_) | deliver::Kind::ToAll(_) => None,
    }
}

fn kind(
    what: &What,
    place: &Place,
    target: Target,
    rate: impl FnOnce(u32) -> u32,
) -> deliver::Kind {
    match what {
        What::Message(message) => deliver::Kind::ToConnections(ToConnections {
            message: Some(message.clone()),
            targets: vec![target],
        }),
        What::Close(reason) => {
            deliver::Kind::Close(Close { targets: vec![target], reason: (*reason).into() })
        }
        What::ToRoom(message) => {
            deliver::Kind::ToRoom(ToRoom { message: Some(message.clone()), room: target.address })
        }
        What::ToAll { message, rate: all } => {
            let namespace = match place {
                Place::Everybody(namespace) => namespace.as_ref().map(ToString::to_string),
                Place::Address(_) => None,
            };
            deliver::Kind::ToAll(ToAll {
                message: Some(message.clone()),
                namespace: namespace.unwrap_or_default(),
                rate: rate(*all),
            })
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}
