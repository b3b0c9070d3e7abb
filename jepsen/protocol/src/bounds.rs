//! Bounds: how much there is of everything, and what it is called.

/// How many comets there are.
pub const COMETS: usize = 2;
/// How many connections there may ever be.
pub const CONNECTIONS: usize = 3;
/// How often a comet may live: once more than it may be fenced.
pub(crate) const LIVES: usize = 2;
/// How many fence events there may be: each comet expires and attaches again.
pub(crate) const EVENTS_MAX: usize = COMETS;

/// A comet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CometId(pub u8);

impl CometId {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COMETS as u8).map(Self)
    }

    /// Its connections, in the order in which they begin.
    pub fn connections(self) -> impl Iterator<Item = ConnectionId> {
        ConnectionId::all().filter(move |connection| connection.comet() == self)
    }
}

/// A connection: one device's session with one comet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u8);

impl ConnectionId {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CONNECTIONS as u8).map(Self)
    }

    /// Which comet holds it: the first and the last one sit together.
    pub fn comet(self) -> CometId {
        CometId(self.0 % COMETS as u8)
    }

    /// The comet's own number for it. A comet numbers its connections as they begin.
    pub fn conn(self) -> u8 {
        self.0 / COMETS as u8 + 1
    }
}

/// One life of a comet: its incarnations counted from 1. That the control shard counts those of all
/// comets together makes no difference to who is older than whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life(pub u8);

impl Life {
    /// With which each comet begins.
    pub const FIRST: Self = Self(1);
    /// After which there is none.
    pub const LAST: Self = Self(LIVES as u8);

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::FIRST.0..=Self::LAST.0).map(Self)
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn place(self) -> usize {
        usize::from(self.0 - 1)
    }
}

/// The number that a shard gives a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u8);
