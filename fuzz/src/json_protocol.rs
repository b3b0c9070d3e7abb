//! Hostile bytes on `orrery.json.v1`: no panic, the same meaning in any cut, what is read can be written.

use orrery_comet_core::json::{ClientMessage, ServerMessage};
use orrery_comet_core::{Dialect, Input, Session};

use crate::decoded::decoded;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses where to cut.
    let Some((&cut, bytes)) = data.split_first() else { return };
    let whole = decoded(Dialect::Json, bytes, bytes.len().max(1));
    assert_eq!(decoded(Dialect::Json, bytes, usize::from(cut).max(1)), whole);
    let mut session = Session::new(Dialect::Json, 1);
    for input in whole.0 {
        let _ = session.handle_input(input, 0);
    }
    // Most bytes are no WebSocket frame: take them for a message's text, too.
    if let Ok(message) = ClientMessage::parse(bytes) {
        let again = ClientMessage::parse(message.to_text().as_bytes());
        assert_eq!(again.expect("what was written can be read"), message);
    }
    let _ = ServerMessage::parse(bytes);
    let mut session = Session::new(Dialect::Json, 1);
    let _ = session.handle_input(Input::Text(bytes.to_vec().into()), 0);
}
