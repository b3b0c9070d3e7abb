//! Push: that its bytes are made once, and whoever gets it gets those.

use bytes::Bytes;
use orrery_comet_core::{Batch, Dialect, Encoded};
use orrery_model::message::Message;

fn push(body: &'static [u8]) -> Encoded {
    Encoded::new(Message { op: 5, body: Bytes::from_static(body) })
}

/// What every device of every dialect gets is the same memory, and of two that differ in their ends only, one is a part
/// of the other.
fn assert_shared(bytes: impl Fn(Dialect) -> Bytes) {
    for dialect in Dialect::ALL {
        let (first, second) = (bytes(dialect), bytes(dialect));
        assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()), "{dialect:?}");
    }
    let (plain, wrapped) = (bytes(Dialect::Tcp), bytes(Dialect::WebSocket));
    assert_eq!(plain.as_ptr_range().end, wrapped.as_ptr_range().end, "a wrapper is put before it");
}

#[test]
fn a_push_is_encoded_once_and_shared() {
    let push = push(b"hi");
    assert_shared(|dialect| push.bytes(dialect));
    let (message, line) = (push.bytes(Dialect::Json), push.bytes(Dialect::Http));
    assert!(message.as_ptr_range().contains(&line.as_ptr()), "they are the same object");
}

#[test]
fn pushes_in_one_piece_are_encoded_once_and_shared() {
    let (one, two) = (push(b"hi"), push(b"there"));
    let both = Batch::new(vec![&one, &two]);
    assert_shared(|dialect| both.bytes(dialect));
    let only = Batch::new(vec![&one]);
    assert_shared(|dialect| only.bytes(dialect));
    assert_eq!(only.bytes(Dialect::Json).as_ptr(), one.bytes(Dialect::Json).as_ptr());
}
