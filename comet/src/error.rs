//! What can go wrong when a comet starts, and why one ends by itself.

use std::io;
use std::net::SocketAddr;

use orrery_model::IdError;
use orrery_tls::{LoadError, SetupError};

/// Why a comet did not start. Another try can help only where a port was taken, or a certificate replaced.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A value of the configuration makes no sense.
    #[error("{key} {what}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        what: &'static str,
    },
    /// The comet's id is not an id.
    #[error("id of the comet: {0}")]
    Id(#[source] IdError),
    /// An address of a logic is not `host:port`.
    #[error("address of a logic {address}: {source}")]
    Logic {
        /// The address.
        address: String,
        /// What the transport says of it.
        source: tonic::transport::Error,
    },
    /// A certificate cannot be shown to devices.
    #[error(transparent)]
    Certificates(#[from] LoadError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] SetupError),
    /// A port could not be listened on.
    #[error("listening on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Why a comet ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Another one has its place in the cluster. Started again it would take that one's.
    #[error("another instance runs under its id")]
    Superseded,
    /// The thread of this worker ended, with the devices that it had. It is to be started again.
    #[error("its worker {0} ended")]
    Worker(usize),
}
