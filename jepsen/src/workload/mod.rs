//! Workloads: what clients do while faults happen.

pub mod binds;
