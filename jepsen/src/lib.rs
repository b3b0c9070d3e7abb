//! The fault-injection harness: workloads, faults and checkers over real processes.
//!
//! SEMANTICS.md fixes the words. Checkers never use the router's own state machine: no bug judges
//! itself.

pub mod checker;
pub mod history;
pub mod scenario;
pub mod workload;
pub mod world;
