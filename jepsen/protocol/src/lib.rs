//! Protocol: a model of how connections are bound, unbound, fenced and bound again, of which every state
//! within its bounds can be looked at.
//!
//! It is written from the rules, not from the code: a user's connections sit on comets, comets speak to
//! shards over a network that delays, reorders, repeats and loses, and the control shard ends lives of
//! comets. Raft is taken for granted: a shard is one state machine that forgets nothing.
//!
//! What the model simplifies, and why that hides nothing:
//!
//! - *Messages stay in the network for ever* and may arrive any number of times, in any order. A lost one is
//!   one that never arrives.
//! - *All connections begin at once.* One that begins late is one whose first bind arrives late.
//! - *`settled` travels by itself* ([`Settling::AtAnyMoment`]): a shard may learn at any moment any value
//!   that the comet ever held. The product sends it along with its writes, which allows less; within the
//!   widest bounds so does the model ([`Settling::WithWrites`]).
//! - *`Fenced` is no message*: a comet may learn that its life has ended at any moment after it has. An
//!   attach after an expiry ends nothing that the expiry has not ended, and its event is left out.
//! - *An unbind's answer is known at once.* A comet that learns it later says later what is settled.
//! - *A fence removes what it makes invisible.* Nothing observable depends on the sweep.
//! - *Worlds that behave alike are one* ([`Protocol::forgets`]), which is itself checked step by step in
//!   every state of smaller bounds.
//!
//! Rooms, restores and moves of slots are not modelled.

mod address;
mod alike;
mod arrival;
mod bounds;
mod breach;
mod comet;
mod connection;
mod control;
mod copies;
mod forget;
mod goals;
mod mutation;
mod policy;
mod properties;
mod protocol;
mod setting;
mod shard;
mod step;
mod world;

pub use self::address::{Address, PerAddress};
pub use self::bounds::{COMETS, CONNECTIONS, CometId, ConnectionId, Life, Seq};
pub use self::breach::Breach;
pub use self::comet::Comet;
pub use self::connection::{Connection, Stage};
pub use self::control::Control;
pub use self::copies::{Bind, Copied, Copies, RouteName};
pub use self::mutation::Mutation;
pub use self::policy::Policy;
pub use self::setting::{Protocol, SecondaryRank, Settling};
pub use self::shard::{Granted, Refusal, Route, Shard};
pub use self::step::Step;
pub use self::world::World;
