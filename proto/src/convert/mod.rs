//! Wire <-> model: the one place that turns each message into our nouns and back.
//!
//! Towards the wire nothing can fail (`From`, by value or by reference); from the wire everything is
//! checked (`TryFrom`, error [`WireError`]). What a missing message field cannot mean by itself is an
//! error; where proto3's "absent is empty" has a meaning of its own (details, policy) it is taken.

mod cluster;
mod command;
mod common;
mod control;
mod delivery;
mod registry;
mod storage;

use std::fmt;

use orrery_model::IdError;

use self::cluster::{counters_to_wire, node_state};

pub use delivery::{wait_for, when_full};

/// Version of the encoding of [`crate::registry::Batch`] and [`crate::registry::ControlBatch`].
pub const BATCH_VERSION: u32 = 1;

/// Version of the state machines' format, in the head record of each snapshot.
pub const RECORD_VERSION: u32 = 1;

/// What arrived is not what the contract says. The same bytes can never be taken; do not retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {what}")]
pub struct WireError {
    /// The message and field, as the contract spells them.
    pub field: &'static str,
    /// What is wrong with it.
    pub what: Fault,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It has to be there and is not (also an unknown kind of a `oneof`).
    Missing,
    /// It is not an id.
    Id(IdError),
    /// A number outside of what the field can mean here.
    Unknown(u64),
    /// A list of the wrong length.
    Length(usize),
    /// An encoding that this build does not understand.
    Version(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing or of an unknown kind"),
            Self::Id(error) => write!(f, "is not an id: {error}"),
            Self::Unknown(number) => write!(f, "has the unknown value {number}"),
            Self::Length(length) => write!(f, "has the wrong length {length}"),
            Self::Version(version) => write!(f, "{version} is not understood here"),
        }
    }
}

/// Implements the by-value conversion to the wire by the one that borrows.
macro_rules! by_value {
    ($($model:ty => $wire:ty),+ $(,)?) => {
        $(impl From<$model> for $wire {
            fn from(model: $model) -> Self {
                Self::from(&model)
            }
        })+
    };
}
use by_value;

fn missing(field: &'static str) -> WireError {
    WireError { field, what: Fault::Missing }
}

fn unknown(field: &'static str, number: impl Into<i64>) -> WireError {
    // Negative enum numbers are as unknown as any other; only their text suffers.
    WireError { field, what: Fault::Unknown(number.into().unsigned_abs()) }
}

/// A field that has to be there.
fn required<W, M: TryFrom<W, Error = WireError>>(
    wire: Option<W>,
    field: &'static str,
) -> Result<M, WireError> {
    wire.ok_or_else(|| missing(field)).and_then(M::try_from)
}

/// A field that may be absent.
fn optional<W, M: TryFrom<W, Error = WireError>>(wire: Option<W>) -> Result<Option<M>, WireError> {
    wire.map(M::try_from).transpose()
}

/// Each element of a list.
fn each<W, M: TryFrom<W, Error = WireError>>(wire: Vec<W>) -> Result<Vec<M>, WireError> {
    wire.into_iter().map(M::try_from).collect()
}

fn id(text: String, field: &'static str) -> Result<orrery_model::Id, WireError> {
    orrery_model::Id::new(text).map_err(|error| WireError { field, what: Fault::Id(error) })
}

fn version(found: u32, understood: u32, field: &'static str) -> Result<(), WireError> {
    match found {
        v if v == understood => Ok(()),
        other => Err(WireError { field, what: Fault::Version(other) }),
    }
}
