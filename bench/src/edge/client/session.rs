//! Session: a device over HTTP. Its requests are the SDK's.

use std::sync::Arc;

use bytes::Bytes;
use orrery_host::Net;
use orrery_sdk::{Device, Event, Options, Transport};

use super::device::{Guise, OP};
use crate::edge::limits::CONNECT_TIMEOUT;

/// Whether a device is a session over HTTP, and not one socket.
pub fn is_over_http(transport: Transport) -> bool {
    match transport {
        Transport::Tcp | Transport::WebSocket | Transport::Json => false,
        Transport::Poll | Transport::Sse => true,
    }
}

/// A device that is welcome. It asks for events only while somebody waits for them; that it asks is its sign of life.
pub struct Session(Device);

impl Session {
    /// Connects and authenticates. From then on every push to it arrives.
    ///
    /// # Errors
    /// When the comet cannot be reached or does not let it in.
    pub async fn connect(
        net: &Arc<dyn Net>,
        transport: Transport,
        comet: &str,
        guise: &Guise,
    ) -> anyhow::Result<Self> {
        let mut options = Options::new(transport, comet)
            .user(guise.user.to_string())
            .platform("bench")
            .accepts([OP]);
        options.rooms.extend(guise.room.clone());
        options.connect_timeout = CONNECT_TIMEOUT;
        Ok(Self(Device::connect(net, options).await?))
    }

    /// The body of the next push; none when the session is over.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.0.next().await {
                Event::Message { op: OP, body } => return Some(body),
                Event::Closed { .. } => return None,
                _ => {}
            }
        }
    }
}
