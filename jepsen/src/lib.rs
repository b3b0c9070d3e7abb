//! The fault-injection harness: breaks a cluster on purpose, in simulation and as real processes, and proves
//! that nothing was lost.
//!
//! A `plan` is drawn from a seed; a `world` runs the system and breaks it as planned; the `workload` writes
//! down what it asked and what it was told; `judge` says whether that can be. SEMANTICS.md fixes the words.

pub mod command;
pub mod conductor;
pub mod ddmin;
pub mod entries;
pub mod operator;
pub mod outcome;
pub mod plan;
pub mod recorder;
pub mod run_report;
pub mod scenario;
pub mod survey;
pub mod tally;
pub mod verdict;
pub mod workload;
pub mod world;
