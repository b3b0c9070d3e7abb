//! Operations: the numbers goim gives a meaning of their own, and lists of operations.
//!
//! Any other number is the application's. Even these may be pushed: nothing is reserved there.

/// Heartbeat, from the device. The only thing that counts as a sign of life.
pub const HEARTBEAT: i32 = 2;
/// Answer to a heartbeat: the number of devices in the room, as 32 bits.
pub const HEARTBEAT_REPLY: i32 = 3;
/// A message from the device to the backend; answered like any unknown operation.
pub const SEND: i32 = 4;
/// Authentication, from the device.
pub const AUTH: i32 = 7;
/// Answer to a successful authentication.
pub const AUTH_REPLY: i32 = 8;
/// Wrapper around pushed frames on a WebSocket.
pub const RAW: i32 = 9;
/// Change of room, from the device.
pub const CHANGE_ROOM: i32 = 12;
/// Answer to [`CHANGE_ROOM`].
pub const CHANGE_ROOM_REPLY: i32 = 13;
/// More operations to accept, from the device.
pub const SUBSCRIBE: i32 = 14;
/// Answer to [`SUBSCRIBE`].
pub const SUBSCRIBE_REPLY: i32 = 15;
/// Operations to accept no longer, from the device.
pub const UNSUBSCRIBE: i32 = 16;
/// Answer to [`UNSUBSCRIBE`].
pub const UNSUBSCRIBE_REPLY: i32 = 17;

/// Reads a list like `2000,2001`: decimal 32-bit numbers, a sign allowed, no spaces. An empty list has
/// no elements; one bad element makes the whole list none.
pub fn parse_list(body: &[u8]) -> Option<Vec<i32>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let text = std::str::from_utf8(body).ok()?;
    text.split(',').map(|element| element.parse().ok()).collect()
}

/// Writes a list that [`parse_list`] reads.
pub fn format_list(ops: &[i32]) -> String {
    ops.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_all_or_nothing() {
        for (text, expected) in [
            ("", Some(vec![])),
            ("2000,2001", Some(vec![2000, 2001])),
            ("-5,+7,0", Some(vec![-5, 7, 0])),
            ("2147483647,-2147483648", Some(vec![i32::MAX, i32::MIN])),
            ("2147483648", None),
            ("1, 2", None),
            ("1,", None),
            (",1", None),
            ("a,b", None),
            ("1,x", None),
            ("0x10", None),
            ("1_0", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_list(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse_list(b"1,\xff"), None);
    }

    #[test]
    fn a_written_list_is_read_again() {
        let ops = [1, -2, i32::MIN];
        assert_eq!(parse_list(format_list(&ops).as_bytes()).unwrap(), ops);
    }
}
