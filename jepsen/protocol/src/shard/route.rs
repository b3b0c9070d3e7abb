//! Route: where an address is now, and what a bind is told of it.

use crate::bounds::Seq;

/// Where the address is: one connection of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The connection's number here.
    pub seq: Seq,
    /// See [`crate::Bind::rank`].
    pub rank: Option<Seq>,
    /// See [`crate::Bind::primary`].
    pub primary: Option<Seq>,
    /// See [`crate::Bind::age`].
    pub age: Option<Seq>,
    /// The newest of those that gave way to it, where it has a rank.
    pub over: Option<Seq>,
}

/// The answer to a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Granted {
    /// The connection's number.
    pub seq: Seq,
    /// See [`Route::over`].
    pub over: Option<Seq>,
}

impl From<Route> for Granted {
    fn from(Route { seq, over, .. }: Route) -> Self {
        Self { seq, over }
    }
}
