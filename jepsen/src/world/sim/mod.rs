//! The simulated world: a whole cluster in one process, in which time, network, disks and chance are drawn
//! from one seed.

mod cluster;
pub mod gate;
pub mod host;
mod install;
mod links;
mod load;
pub mod net;
mod orders;
mod panics;
mod run;
mod tasks;
mod undo;
mod world;

pub use run::{Ran, run};
