//! History: what every client saw, as JSON lines with Jepsen's field names.
//!
//! One line is one [`Event`]. A client's operation is two events of its process: `invoke`, and later
//! `ok`, `fail` or `info`. Marks ([`Op::is_mark`]) stand alone: faults, phases, deliveries, digests.

mod edge;
mod edn;
mod event;
mod lines;
mod op;
mod operation;
mod porcupine;
mod refusal;
mod registry;
mod run;

pub use self::edge::{
    Connect, Deliver, EVERYBODY, Joined, Living, Named, Online, Push, Receipt, Report, Seen, Told,
};
pub use self::edn::export_edn;
pub use self::event::{Event, Kind, NEMESIS};
pub use self::lines::{ReadError, read, read_what_is_whole, write};
pub use self::op::Op;
pub use self::operation::{History, Operation, PairError};
pub use self::porcupine::export_porcupine;
pub use self::refusal::Refusal;
pub use self::registry::{
    Attach, Bind, CometRoutes, Count, Keep, KeepAlive, Listing, Locate, Member, Policy, Primary,
    ReadRoom, Route, Scope, SetRooms, Unbind,
};
pub use self::run::{
    Digest, Drained, Ended, Fault, FaultOutcome, HarnessFailure, Heal, Held, Panicked, Phase,
    PhaseName, Replica, Serving, Standing,
};
