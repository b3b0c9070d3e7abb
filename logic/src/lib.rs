//! The push API and the comets' way into the registry. Stateless: whatever one logic does, another can.
//!
//! Backends push by gRPC, by the same as JSON over HTTP, or on goim's HTTP paths; all three lead to one
//! use case (`push`), which looks up where the addressed connections are and delivers to their comets.
//! Comets open a session (`edge`) to authenticate their devices and to write routes.

mod api;
mod auth;
mod comets;
pub mod config;
mod deliver;
mod directory;
mod edge;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
mod goim;
mod grpc;
mod http;
pub mod limits;
mod line;
mod losers;
mod metrics;
mod nodes;
mod online;
mod port;
mod push;
mod registry;

mod server;

pub use config::Config;
pub use error::StartError;
pub use server::{Handle, start};
