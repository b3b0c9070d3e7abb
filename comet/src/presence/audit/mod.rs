//! Audit: compares connections with routes, slowly and without end, in both directions. It finds what neither
//! a close nor a goodbye reached.
//!
//! Nothing is done on the word of an answer alone: a connection is closed only if it is still called what
//! was asked about, in a life of the comet that has not ended, and a route is removed by its exact identity.

mod connections;
mod round;
mod routes;

pub(super) use self::connections::run as connections;
pub(super) use self::routes::run as routes;

/// A page was not compared: its life has ended, or nobody answered. It is tried again.
struct NotCompared;
