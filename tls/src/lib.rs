//! TLS for devices, with as little memory a connection as possible.
//!
//! An [`Acceptor`] shakes hands over any [`Stream`](orrery_host::Stream) and gives a [`TlsStream`], which is one
//! again. While nothing is under way such a stream owns no buffer: what is read and written passes through memory
//! that the connections of a thread share, and only what is incomplete (the beginning of a record, what the
//! kernel did not take) is kept, bounded, until it is complete. [`Certificates`] are read again while connections
//! live; [`watch`] does that for as long as it runs.
//!
//! The protocol is rustls' own, driven through its unbuffered interface; nothing of it is decided here.

mod acceptor;
mod backlog;
mod certificate;
mod certificates;
#[doc(hidden)]
pub mod fuzzing;
mod ledger;
pub mod limits;
mod opening;
mod refusal;
mod scratch;
mod session;
mod stream;
mod turn;
mod watch;

pub use acceptor::{Acceptor, SetupError, Speaks};
pub use certificate::{CertificateError, Files, LoadError};
pub use certificates::{Certificates, Look, Warning};
pub use refusal::Refusal;
pub use stream::TlsStream;
pub use watch::watch;
