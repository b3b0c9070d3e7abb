//! The device side of Orrery: connect to a comet over any of its transports, receive pushes, give signs
//! of life. [`Device`] is one connection, [`Client`] a device that stays connected. Sockets are opened through
//! `orrery_host::Net`, so that the same client runs against real comets and in simulation;
//! over [`TlsNet`] it does so within TLS.

mod backoff;
mod client;
mod device;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod http;
pub mod limits;
mod node_list;
mod options;
mod tcp;
mod tls;
mod websocket;
mod wire;

pub use backoff::{Backoff, Pacing};
pub use client::{Client, ClientEvent};
pub use device::{Device, Welcome};
pub use error::{ConnectError, RequestError};
pub use event::Event;
pub use node_list::{Advice, NodeList, NodeListError};
pub use options::{Options, Transport};
pub use orrery_comet_core::Frame;
pub use orrery_comet_core::json::{ErrorCode, ServerMessage};
pub use tls::{TlsNet, TrustError};
