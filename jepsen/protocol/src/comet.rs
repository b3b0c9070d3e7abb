//! Comet: what it makes of an answer, and of the end of its life.

use crate::address::{Address, PerAddress};
use crate::bounds::{CometId, ConnectionId, LIVES, Life};
use crate::connection::Stage;
use crate::copies::Bind;
use crate::mutation::Mutation;
use crate::policy::Policy;
use crate::setting::{Protocol, SecondaryRank};
use crate::shard::Granted;
use crate::world::World;

/// A comet, but for its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comet {
    /// The life it believes to live.
    pub life: Life,
    /// The last `settled` of each life that it has ended.
    pub(crate) settled: [u8; LIVES],
}

impl Comet {
    pub(crate) fn new() -> Self {
        Self { life: Life::FIRST, settled: [0; LIVES] }
    }
}

impl Protocol {
    /// What was bound is acknowledged: the next address follows, or the connection is bound.
    pub(crate) fn hear_granted(&self, world: &mut World, connection: ConnectionId) {
        let stage = world.connection(connection).stage;
        let Stage::Binding { address, primary, granted: Some(Granted { seq, over }), .. } = stage
        else {
            return;
        };
        if let (Address::Key, Some(primary)) = (address, primary) {
            world.connection_mut(connection).stage = Stage::Bound(PerAddress([primary, seq]));
            return;
        }
        let life = world.life(connection);
        let sent = world.copies.get(connection, life, Address::User).bind;
        let rank = sent.and_then(|bind| bind.rank);
        let age = rank.or(Some(seq));
        let rank = rank.filter(|rank| match self.secondary_rank {
            SecondaryRank::AsOnPrimary => true,
            SecondaryRank::UnlessOverLater => over.is_none_or(|over| over < *rank),
            SecondaryRank::WhereNewestWins => self.policy != Policy::Oldest,
        });
        let held = world.connection_mut(connection);
        held.first = held.first.or(Some(seq));
        if self.is(Mutation::RebindForgetsSecondary) && life > Life::FIRST {
            held.stage = Stage::Bound(PerAddress([seq, seq]));
            return;
        }
        held.stage = Stage::Binding {
            address: Address::Key,
            primary: Some(seq),
            granted: None,
            refused: false,
        };
        world.send_bind(connection, Address::Key, Bind { rank, primary: Some(seq), age });
    }

    /// A comet takes up a new life: everything the shards hold of the older one is gone.
    pub(crate) fn attach(&self, world: &mut World, comet: CometId) {
        let ended = world.comet(comet).life;
        let settled = world.settled(comet, ended, self.is(Mutation::SettledTooEarly));
        let life = world.control.attach(comet);
        let held = &mut world.comets[usize::from(comet.0)];
        held.settled[ended.place()] = settled;
        held.life = life;
        for connection in comet.connections() {
            let held = world.connection_mut(connection);
            match held.stage {
                Stage::Idle | Stage::Gone(_) => {}
                Stage::Leaving { .. } => held.stage = Stage::Gone(None),
                Stage::Binding { .. } | Stage::Bound(_) => world.begin(connection),
            }
        }
    }
}

impl World {
    /// Has a connection bound, for the first time or again.
    pub(crate) fn begin(&mut self, connection: ConnectionId) {
        let held = self.connection_mut(connection);
        held.stage = Stage::BEGUN;
        let rank = held.first;
        self.send_bind(connection, Address::User, Bind { rank, primary: None, age: rank });
    }

    /// Sends a bind of the present life, to be repeated until it is answered.
    fn send_bind(&mut self, connection: ConnectionId, address: Address, bind: Bind) {
        let life = self.life(connection);
        self.copies.get_mut(connection, life, address).bind = Some(bind);
    }
}
