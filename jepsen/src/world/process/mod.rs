//! The world of real processes: release binaries, each in a network namespace of its own, routers with a
//! disk of their own, broken with what a machine has.

mod config_text;
mod damage;
mod install;
mod links;
mod load;
pub mod measure;
mod operate;
mod progress;
pub mod results;
mod run;
mod station;
mod stations;
mod supervisor;
mod topology;
mod undo;
mod world;

pub use run::{LEDGERS, Ran, STORES, Setting, run};
