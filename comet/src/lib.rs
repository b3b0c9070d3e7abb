//! The comet: holds the devices' connections, keeps the registry told of them, and puts pushes on their
//! sockets.
//!
//! Each connection belongs to one worker and is reached only by mail. Towards the cluster the comet
//! speaks through its presence, whose every write is repeated until its outcome is known.
//! [`start`] is the only door.

mod admission;
mod comet;
mod config;
mod connection;
mod crew;
mod delivery;
mod drain;
mod edge;
mod error;
mod http;
mod limits;
mod listen;
mod mailbox;
mod metrics;
mod operating;
mod outbox;
mod pace;
mod presence;
mod server;
mod slow;
mod totals;
mod unread;
mod worker;

pub use config::{Advertise, Config, Tls, WhenFull};
pub use error::{Ended, StartError};
pub use server::{Handle, start};
