//! What every process does around its job: configuration in layers, logs, the admin port, the end.

pub mod admin;
pub mod config;
pub mod limits;
pub mod runtimes;
pub mod shutdown;
pub mod telemetry;
