//! Hostile answers to a device that asks where to connect: no panic, and advice names where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orrery_sdk::{Advice, Transport};

fuzz_target!(|data: &[u8]| {
    use Transport::{Json, Poll, Sse, Tcp, WebSocket};
    for transport in [Tcp, WebSocket, Json, Poll, Sse] {
        for tls in [false, true] {
            if let Ok(advice) = Advice::parse(data, transport, tls) {
                assert!(!advice.nodes.current().is_empty());
            }
        }
    }
});
