//! Worlds: where the system under test runs, and what breaks it there.

pub(crate) mod admin;
pub(crate) mod founding;
pub mod lone_router;
pub mod process;
pub(crate) mod roster;
pub mod sim;

use futures_util::future::LocalBoxFuture;

use crate::plan::Fault;

/// What became of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// It is in effect.
    Yes {
        /// What it hit, by name.
        targets: Vec<String>,
    },
    /// It is not, and the reason is as good as any.
    Skipped(String),
    /// Nobody knows.
    Indeterminate(String),
}

/// A place where a system runs that can be broken.
pub trait World {
    /// Does what a fault says.
    fn install<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, Installed>;

    /// Takes back what stays of a fault.
    fn take_back<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, ()>;

    /// Takes everything back: every process runs, every link carries, every disk takes writes.
    fn heal(&self) -> LocalBoxFuture<'_, ()>;

    /// Tries once more what whoever operates the cluster must not leave half done: a lost node's place is taken.
    fn mend(&self) -> LocalBoxFuture<'_, ()>;

    /// The routers that are drained and of which the cluster has not certainly heard that they are to lead again:
    /// their nodes and names.
    fn drained(&self) -> Vec<(u64, String)>;
}
