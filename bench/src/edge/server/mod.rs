//! Server: the system under a load, and what it takes for it.

pub mod descriptors;
pub mod memory;
pub mod process;
pub mod stack;
pub mod target;
pub mod usage;
