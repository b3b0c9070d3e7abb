//! Connection: how far its comet has come with it.

use crate::address::{Address, PerAddress};
use crate::bounds::{Life, Seq};
use crate::shard::Granted;

/// What a comet knows of one of its connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Connection {
    /// How far it has come in the present life of its comet.
    pub stage: Stage,
    /// Its first seq at the user, once that is known: however often it is bound again, it is as old as that.
    pub first: Option<Seq>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It has not begun.
    #[default]
    Idle,
    /// A bind was sent, and its answer is waited for.
    Binding {
        /// Where.
        address: Address,
        /// Its seq at the user, once that is known.
        primary: Option<Seq>,
        /// An answer is on its way that says what it got.
        granted: Option<Granted>,
        /// An answer is on its way that refuses it.
        refused: bool,
    },
    /// Everything is bound and acknowledged; these are its seqs.
    Bound(PerAddress<Seq>),
    /// It goes; the unbinds are repeated until each is acknowledged.
    Leaving {
        /// Where that is so, or where nothing was begun.
        answered: PerAddress<bool>,
        /// All its binds had been answered.
        decided: bool,
    },
    /// It went. Where its goodbye was acknowledged, the life in which that was.
    Gone(Option<Life>),
}

impl Stage {
    /// A bind was sent to the user.
    pub(crate) const BEGUN: Self =
        Self::Binding { address: Address::User, primary: None, granted: None, refused: false };

    /// Whether it has begun and not gone.
    pub fn lives(self) -> bool {
        !matches!(self, Self::Idle | Self::Gone(_))
    }

    /// Whether it means to stay where it is, or is to be.
    pub fn stays(self) -> bool {
        matches!(self, Self::Binding { .. } | Self::Bound(_))
    }

    /// The seq that was acknowledged at an address, while it means to stay.
    pub fn acknowledged(self, address: Address) -> Option<Seq> {
        match self {
            Self::Bound(seqs) => Some(seqs[address]),
            Self::Binding { primary, .. } if address == Address::User => primary,
            _ => None,
        }
    }
}
