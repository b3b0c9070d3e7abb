//! Receipt: what became of a push, as its caller is told. No level is reported higher than was waited
//! for.

use orrery_model::message::{Delivered, DropReason};
use orrery_model::{CometId, Seq};
use orrery_proto::{delivery, push as wire};
use serde::Serialize;

use crate::push::legs::{End, Leg};

/// What became of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PushReceipt {
    /// Sums over all connections.
    pub(crate) summary: Summary,
    /// Users, keys and connections: one for each id, in order of the request.
    pub(crate) addresses: Vec<AddressReceipt>,
    /// Answered from remembered routes.
    pub(crate) stale: bool,
    /// The list of comets could not be confirmed.
    pub(crate) incomplete: bool,
}

/// What became of a message at one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct AddressReceipt {
    /// The user, or the key.
    pub(crate) id: String,
    /// The look-up found no connection.
    pub(crate) offline: bool,
    /// Its connections.
    pub(crate) connections: Vec<ConnectionReceipt>,
}

/// What became of a message at one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ConnectionReceipt {
    /// The connection's number.
    pub(crate) seq: u64,
    /// The comet that holds it.
    pub(crate) comet: String,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Of dropped: why.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) reason: &'static str,
}

/// What became of a message, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Queued,
    Written,
    Filtered,
    Dropped,
    Unknown,
    /// Looked up twice, and not there.
    Gone,
}

/// Sums over the connections of a push.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) queued: u32,
    pub(crate) written: u32,
    pub(crate) filtered: u32,
    pub(crate) dropped: u32,
    pub(crate) unknown: u32,
    pub(crate) gone: u32,
    /// Addresses without a connection.
    pub(crate) offline: u32,
    /// Comets that did not answer for a room or a broadcast.
    pub(crate) comets_unknown: u32,
}

/// What became of a disconnect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Disconnected {
    /// Connections that were closed.
    pub(crate) closed: u32,
    /// Connections whose comets did not answer in time.
    pub(crate) unknown: u32,
    /// Addresses without a connection, and connections that had left when their comet was asked.
    pub(crate) offline: u32,
}

impl Summary {
    /// Each sum with its word.
    pub(crate) fn words(&self) -> [(&'static str, u32); 8] {
        [
            ("queued", self.queued),
            ("written", self.written),
            ("filtered", self.filtered),
            ("dropped", self.dropped),
            ("unknown", self.unknown),
            ("gone", self.gone),
            ("offline", self.offline),
            ("comets_unknown", self.comets_unknown),
        ]
    }

    /// Counts a connection.
    fn connection(&mut self, outcome: Outcome) {
        let sum = match outcome {
            Outcome::Queued => &mut self.queued,
            Outcome::Written => &mut self.written,
            Outcome::Filtered => &mut self.filtered,
            Outcome::Dropped => &mut self.dropped,
            Outcome::Unknown => &mut self.unknown,
            Outcome::Gone => &mut self.gone,
        };
        *sum = sum.saturating_add(1);
    }

    /// Counts the connections of a comet.
    fn comet(&mut self, tally: &delivery::Tally, waited_written: bool) {
        let (queued, written) = match waited_written {
            true => (tally.queued, tally.written),
            false => (tally.queued.saturating_add(tally.written), 0),
        };
        for (sum, part) in [
            (&mut self.queued, queued),
            (&mut self.written, written),
            (&mut self.filtered, tally.filtered),
            (&mut self.dropped, tally.dropped),
            (&mut self.unknown, tally.unknown),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

impl PushReceipt {
    /// Adds what became of a message at one address.
    pub(super) fn address(&mut self, id: &str, legs: &[Leg], waited_written: bool) {
        let connections: Vec<_> = legs.iter().map(|leg| connection(leg, waited_written)).collect();
        for connection in &connections {
            self.summary.connection(connection.outcome);
        }
        let offline = connections.is_empty();
        self.summary.offline += u32::from(offline);
        self.addresses.push(AddressReceipt { id: id.to_owned(), offline, connections });
    }

    /// Adds what became of a message at the comets of a room, or at all.
    pub(super) fn comets(&mut self, legs: &[Leg], waited_written: bool) {
        for leg in legs {
            match &leg.end {
                Some(End::Comet(tally)) => {
                    self.summary.comet(tally, waited_written);
                    self.summary.comets_unknown += u32::from(tally.partial);
                }
                Some(End::Connection(_) | End::NotHere | End::Unknown) | None => {
                    self.summary.comets_unknown += 1;
                }
            }
        }
    }
}

impl Disconnected {
    /// Adds what became of the connections of one address.
    pub(super) fn address(&mut self, legs: &[Leg]) {
        self.offline += u32::from(legs.is_empty());
        for leg in legs {
            match leg.end {
                // Dropped by our own queue: the comet never heard of it.
                Some(End::Connection(Delivered::Dropped(DropReason::Overloaded)))
                | Some(End::Unknown | End::Comet(_))
                | None => self.unknown += 1,
                Some(End::Connection(_)) => self.closed += 1,
                Some(End::NotHere) => self.offline += 1,
            }
        }
    }
}

fn connection(leg: &Leg, waited_written: bool) -> ConnectionReceipt {
    let (outcome, reason) = match leg.end {
        Some(End::Connection(delivered)) => words(delivered, waited_written),
        Some(End::NotHere) => (Outcome::Gone, ""),
        Some(End::Comet(_) | End::Unknown) | None => (Outcome::Unknown, ""),
    };
    let (Seq(seq), comet): (Seq, &CometId) = (leg.spot.seq, &leg.spot.comet.id);
    ConnectionReceipt { seq, comet: comet.to_string(), outcome, reason }
}

fn words(delivered: Delivered, waited_written: bool) -> (Outcome, &'static str) {
    match delivered {
        Delivered::Queued => (Outcome::Queued, ""),
        Delivered::Written if !waited_written => (Outcome::Queued, ""),
        Delivered::Written => (Outcome::Written, ""),
        Delivered::Filtered => (Outcome::Filtered, ""),
        Delivered::Dropped(reason) => (Outcome::Dropped, drop_word(reason)),
        Delivered::NotHere => (Outcome::Gone, ""),
        Delivered::Unknown => (Outcome::Unknown, ""),
    }
}

fn drop_word(reason: DropReason) -> &'static str {
    match reason {
        DropReason::OutboxFull => "outbox_full",
        DropReason::Displaced => "displaced",
        DropReason::Closed => "closed",
        DropReason::BindingFull => "binding_full",
        DropReason::Overloaded => "overloaded",
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Queued => Self::Queued,
            Outcome::Written => Self::Written,
            Outcome::Filtered => Self::Filtered,
            Outcome::Dropped => Self::Dropped,
            Outcome::Unknown => Self::Unknown,
            Outcome::Gone => Self::Gone,
        }
    }
}

impl From<PushReceipt> for wire::PushResponse {
    fn from(receipt: PushReceipt) -> Self {
        let connection = |c: ConnectionReceipt| wire::ConnectionReceipt {
            seq: c.seq,
            comet: c.comet,
            outcome: wire::Outcome::from(c.outcome).into(),
            reason: c.reason.to_owned(),
        };
        let address = |a: AddressReceipt| wire::AddressReceipt {
            id: a.id,
            offline: a.offline,
            connections: a.connections.into_iter().map(connection).collect(),
        };
        let s = receipt.summary;
        Self {
            summary: Some(wire::Summary {
                queued: s.queued,
                written: s.written,
                filtered: s.filtered,
                dropped: s.dropped,
                unknown: s.unknown,
                gone: s.gone,
                offline: s.offline,
                comets_unknown: s.comets_unknown,
            }),
            addresses: receipt.addresses.into_iter().map(address).collect(),
            stale: receipt.stale,
            incomplete: receipt.incomplete,
        }
    }
}

impl From<Disconnected> for wire::DisconnectResponse {
    fn from(d: Disconnected) -> Self {
        Self { closed: d.closed, unknown: d.unknown, offline: d.offline }
    }
}
