//! World: everything there is, and what a step makes of it.

use crate::address::{Address, PerAddress};
use crate::bounds::{COMETS, CONNECTIONS, CometId, ConnectionId, Life};
use crate::breach::Breach;
use crate::comet::Comet;
use crate::connection::{Connection, Stage};
use crate::control::Control;
use crate::copies::{Copies, RouteName};
use crate::shard::Shard;

/// A state of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub(crate) connections: [Connection; CONNECTIONS],
    pub(crate) comets: [Comet; COMETS],
    /// The control shard.
    pub control: Control,
    /// The data shards.
    pub shards: PerAddress<Shard>,
    /// The network.
    pub copies: Copies,
    /// A promise that the last step broke.
    pub breach: Option<Breach>,
}

impl World {
    /// All comets live their first life, and nobody has connected.
    pub(crate) fn new() -> Self {
        Self {
            connections: [Connection::default(); CONNECTIONS],
            comets: [Comet::new(); COMETS],
            control: Control::new(),
            shards: PerAddress([Shard::new(); 2]),
            copies: Copies::default(),
            breach: None,
        }
    }

    /// What its comet knows of a connection.
    pub fn connection(&self, connection: ConnectionId) -> &Connection {
        &self.connections[usize::from(connection.0)]
    }

    pub(crate) fn connection_mut(&mut self, connection: ConnectionId) -> &mut Connection {
        &mut self.connections[usize::from(connection.0)]
    }

    /// A comet.
    pub fn comet(&self, comet: CometId) -> &Comet {
        &self.comets[usize::from(comet.0)]
    }

    /// The life in which a connection's comet believes to live.
    pub fn life(&self, connection: ConnectionId) -> Life {
        self.comet(connection.comet()).life
    }

    /// Whether an unbind is repeated until a shard acknowledges it.
    pub fn awaits_unbind(&self, connection: ConnectionId, life: Life, address: Address) -> bool {
        let stage = self.connection(connection).stage;
        let unanswered = matches!(stage, Stage::Leaving { answered, .. } if !answered[address]);
        unanswered && self.life(connection) == life
    }

    /// Whether a bind is repeated until a shard answers it.
    pub fn awaits_bind(&self, connection: ConnectionId, life: Life, address: Address) -> bool {
        let stage = self.connection(connection).stage;
        let here = matches!(stage, Stage::Binding { address: awaited, .. } if awaited == address);
        here && self.life(connection) == life
    }

    /// Whether a connection may be told that another took its place: its comet takes no word that was
    /// meant for an older life.
    pub fn may_be_replaced(&self, connection: ConnectionId) -> bool {
        let bound = matches!(self.connection(connection).stage, Stage::Bound(_));
        let lost = |address: Address| {
            let shard = &self.shards[address];
            let life = shard.fence(connection.comet());
            shard.is_evicted(connection) && life == self.life(connection)
        };
        bound && Address::ALL.into_iter().any(lost)
    }

    /// Whether everything that was begun has ended and every shard knows of every fence. What may still
    /// arrive are copies of what was answered.
    pub fn is_quiet(&self) -> bool {
        let rests = |connection: ConnectionId| match self.connection(connection).stage {
            Stage::Idle | Stage::Gone(_) => true,
            Stage::Bound(_) => !self.may_be_replaced(connection),
            Stage::Binding { .. } | Stage::Leaving { .. } => false,
        };
        let lives = |comet| self.control.living(comet) == Some(self.comet(comet).life);
        let position = self.control.position();
        let knows = |address| usize::from(self.shards[address].cursor()) == position;
        ConnectionId::all().all(rests)
            && CometId::all().all(lives)
            && Address::ALL.into_iter().all(knows)
    }

    /// Every conn of a comet below this one is decided, as far as the comet knew in a life.
    pub(crate) fn settled(&self, comet: CometId, life: Life, too_early: bool) -> u8 {
        if life < self.comet(comet).life {
            return self.comet(comet).settled[life.place()];
        }
        let undecided = |connection: &ConnectionId| match self.connection(*connection).stage {
            Stage::Binding { address, .. } => !too_early || address == Address::User,
            Stage::Leaving { decided, .. } => !decided,
            Stage::Idle | Stage::Bound(_) | Stage::Gone(_) => false,
        };
        let first = comet.connections().find(undecided);
        let begun = |connection: &ConnectionId| self.connection(*connection).stage != Stage::Idle;
        let next = comet.connections().filter(begun).count() as u8 + 1;
        first.map_or(next, ConnectionId::conn)
    }

    /// Says a connection's goodbye: unbinds each address for which a bind was begun.
    pub(crate) fn say_goodbye(&mut self, connection: ConnectionId) {
        let (user, key, decided) = match self.connection(connection).stage {
            Stage::Binding { address: Address::User, .. } => (RouteName::Conn, None, false),
            Stage::Binding { primary, .. } => {
                let primary = primary.expect("the key is bound after the user");
                (RouteName::Seq(primary), Some(RouteName::Conn), false)
            }
            Stage::Bound(seqs) => {
                let [user, key] = seqs.0.map(RouteName::Seq);
                (user, Some(key), true)
            }
            Stage::Idle | Stage::Leaving { .. } | Stage::Gone(_) => return,
        };
        let life = self.life(connection);
        self.copies.get_mut(connection, life, Address::User).unbind = Some(user);
        self.copies.get_mut(connection, life, Address::Key).unbind = key;
        let answered = PerAddress([false, key.is_none()]);
        self.connection_mut(connection).stage = Stage::Leaving { answered, decided };
    }

    /// An unbind was acknowledged.
    pub(crate) fn hear_unbound(&mut self, connection: ConnectionId, address: Address) {
        let life = self.life(connection);
        let stage = &mut self.connection_mut(connection).stage;
        if let Stage::Leaving { answered, .. } = stage {
            answered[address] = true;
            if answered.0 == [true, true] {
                *stage = Stage::Gone(Some(life));
            }
        }
    }
}
