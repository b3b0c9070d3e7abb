//! Bytes: goim's frames and WebSocket's, written out by hand. Nothing here is shared with the product, so
//! that a mistake in its codec cannot hide in its tests.

use serde_json::json;

/// A whole goim frame.
pub(crate) fn frame(version: i16, op: i32, seq: i32, body: &[u8]) -> Vec<u8> {
    claiming(i32::try_from(16 + body.len()).unwrap(), 16, version, op, seq, body)
}

/// A goim frame whose header claims what it likes.
pub(crate) fn claiming(
    packet: i32,
    header: i16,
    version: i16,
    op: i32,
    seq: i32,
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(packet.to_be_bytes());
    bytes.extend(header.to_be_bytes());
    bytes.extend(version.to_be_bytes());
    bytes.extend(op.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Bytes from hexadecimal digits and spaces, followed by a body.
pub(crate) fn hex(digits: &str, body: &[u8]) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let mut bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.extend(body);
    bytes
}

/// The frame of a pushed message.
pub(crate) fn pushed(op: i32, body: &[u8]) -> Vec<u8> {
    frame(1, op, 0, body)
}

/// The answer to a heartbeat.
pub(crate) fn beaten(version: i16, seq: i32, count: i32) -> Vec<u8> {
    frame(version, 3, seq, &count.to_be_bytes())
}

/// The body of goim's authentication.
pub(crate) fn token(mid: i64, key: &str, room: &str, accepts: &[i32]) -> Vec<u8> {
    json!({"mid": mid, "key": key, "room_id": room, "platform": "test", "accepts": accepts})
        .to_string()
        .into_bytes()
}

/// First byte of a WebSocket frame that is a whole message.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A WebSocket frame without a mask, as servers send it.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, 0, payload.len());
    bytes.extend(payload);
    bytes
}

/// A WebSocket frame with a mask, as clients should send it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = head(first, 0x80, payload.len());
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn head(first: u8, mask: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..126), _) => bytes.push(mask | short),
        (_, Ok(long)) => {
            bytes.push(mask | 126);
            bytes.extend(long.to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes
}
