//! Listen: takes connections at the door and hands each to a worker, which shakes hands with the device.

mod door;
mod handshake;
mod tls;
mod websocket;

pub(crate) use self::door::Door;
pub(crate) use self::handshake::{Shaken, shake_hands};
pub(crate) use self::tls::Secured;
