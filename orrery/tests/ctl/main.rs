//! `orrery ctl` against router processes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../support/mod.rs"]
mod support;

mod backups;
mod comets;
mod endings;
mod founding;
mod members;
