//! Hostile answers to a device that asks where to connect: no panic, and advice names where.

use orrery_sdk::{Advice, Transport};

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    use Transport::{Json, Poll, Sse, Tcp, WebSocket};
    for transport in [Tcp, WebSocket, Json, Poll, Sse] {
        for tls in [false, true] {
            if let Ok(advice) = Advice::parse(data, transport, tls) {
                assert!(!advice.nodes.current().is_empty());
            }
        }
    }
}
