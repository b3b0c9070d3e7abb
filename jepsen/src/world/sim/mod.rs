//! The simulated world: a whole cluster in one process, in which time, network, disks and chance are drawn
//! from one seed.

mod cluster;
mod founding;
pub mod gate;
pub mod host;
pub mod net;
mod orders;
mod run;
mod tasks;
mod world;

pub use run::{Ran, run};
