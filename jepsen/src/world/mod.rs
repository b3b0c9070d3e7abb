//! Worlds: where the system under test runs. So far: real processes on this machine.

pub mod process;
