//! The device protocols, from bytes to bytes.
// Test code may unwrap; clippy only knows so inside functions that are tests themselves.
#![allow(clippy::unwrap_used)]

mod device;
mod document;
mod frame;
mod hostile;
mod http;
mod json;
mod promises;
mod push;
mod session;
mod vectors;
mod websocket;
