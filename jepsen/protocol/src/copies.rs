//! Copies: the network. What was ever sent stays there and may arrive at any moment, any number of times.

use crate::address::{Address, PerAddress};
use crate::bounds::{CONNECTIONS, ConnectionId, LIVES, Life, Seq};

/// A bind, but for whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bind {
    /// Its first seq at the user, where that is known from an earlier life of its comet.
    pub rank: Option<Seq>,
    /// On the key: its seq at the user.
    pub primary: Option<Seq>,
    /// Its first seq at the user, as far as its comet knows. Only the properties read it.
    pub age: Option<Seq>,
}

/// Names the route that an unbind removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RouteName {
    /// By the shard's number.
    Seq(Seq),
    /// By the comet's own number.
    Conn,
}

/// What one connection sent to one shard in one life of its comet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Copied {
    /// Its bind.
    pub bind: Option<Bind>,
    /// Its unbind.
    pub unbind: Option<RouteName>,
}

/// All that is in the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Copies([[PerAddress<Copied>; LIVES]; CONNECTIONS]);

impl Copies {
    /// What one connection sent to one shard in one life of its comet.
    pub fn get(&self, connection: ConnectionId, life: Life, address: Address) -> Copied {
        self.0[usize::from(connection.0)][life.place()][address]
    }

    pub(crate) fn get_mut(
        &mut self,
        connection: ConnectionId,
        life: Life,
        address: Address,
    ) -> &mut Copied {
        &mut self.0[usize::from(connection.0)][life.place()][address]
    }

    /// Where something may be in the network.
    pub fn places() -> impl Iterator<Item = (ConnectionId, Life, Address)> {
        // One flat count: this is gone through some hundred million times.
        (0..CONNECTIONS * LIVES * 2).map(|place| {
            let (rest, address) = (place / 2, Address::ALL[place % 2]);
            let (connection, life) = (rest / LIVES, rest % LIVES);
            (ConnectionId(connection as u8), Life(life as u8 + 1), address)
        })
    }
}
