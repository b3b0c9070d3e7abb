//! Hostile bytes from a comet, or whoever answers in its place: no panic, the same meaning in any cut, never more kept
//! than may be, and what was understood is the same when it is said again.

use bytes::Bytes;
use orrery_comet_core::goim_message::Frames;
use orrery_comet_core::json::ServerMessage;
use orrery_comet_core::stream::FrameStream;
use orrery_comet_core::{Frame, FrameError, ops};
use orrery_sdk::fuzzing::event_stream;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses what the others are, the second where to cut.
    let Some((&[kind, cut], bytes)) = data.split_first_chunk() else { return };
    let cut = usize::from(cut).max(1);
    match kind % 4 {
        0 => events(bytes, cut),
        1 => stream(bytes, cut),
        2 => message(bytes),
        _ => said(bytes),
    }
}

/// The text of a stream of events.
fn events(text: &[u8], cut: usize) {
    let (blocks, all) = event_stream(text, text.len().max(1), usize::MAX);
    assert!(all);
    assert_eq!(event_stream(text, cut, usize::MAX), (blocks.clone(), true));
    // Where there is less room, there is nothing else in what had room, and room for a piece is always there.
    for bytes_max in [text.len(), 2 * cut, cut] {
        let (some, all) = event_stream(text, cut, bytes_max);
        assert_eq!(blocks[..some.len()], some);
        assert!(some.len() == blocks.len() || !all);
        assert!(all || bytes_max < text.len());
    }
}

/// Frames on a TCP connection.
fn stream(bytes: &[u8], cut: usize) {
    let whole = decoded(bytes, bytes.len().max(1));
    assert_eq!(decoded(bytes, cut), whole);
    let (frames, _) = whole;
    let said: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
    assert!(said.len() <= bytes.len());
    assert_eq!(decoded(&said, cut), (frames, None));
}

/// What a connection's bytes in pieces of this length are.
fn decoded(bytes: &[u8], length: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut stream = FrameStream::from_comet();
    let mut frames = Vec::new();
    for piece in bytes.chunks(length) {
        stream.feed(piece);
        loop {
            match stream.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Frames in a WebSocket message, and those in the bodies that may hold some.
fn message(bytes: &[u8]) {
    let outer = framed(bytes);
    outer.iter().filter(|frame| frame.op == ops::RAW).for_each(|frame| drop(framed(&frame.body)));
}

/// The frames in a message or in such a body.
fn framed(bytes: &[u8]) -> Vec<Frame> {
    let frames: Vec<Frame> = Frames::from_comet(bytes.to_vec().into()).flatten().collect();
    let said: Bytes = frames.iter().flat_map(Frame::encode).collect::<Vec<_>>().into();
    assert!(said.len() <= bytes.len());
    if !frames.is_empty() {
        let again: Result<Vec<_>, _> = Frames::from_comet(said.clone()).collect();
        assert_eq!(again.as_ref(), Ok(&frames));
        // A TCP connection says the same.
        assert_eq!(decoded(&said, said.len()), (frames.clone(), None));
    }
    frames
}

/// A message of `orrery.json.v1`, on a WebSocket and as an event over HTTP, which is read twice.
fn said(text: &[u8]) {
    let Ok(message) = ServerMessage::parse(text) else { return };
    let event: serde_json::Value = serde_json::from_slice(text).expect("a message is JSON");
    let event = serde_json::from_value::<ServerMessage>(event).expect("what was understood");
    assert_eq!(event, message);
    if message != ServerMessage::Other {
        let again = ServerMessage::parse(message.to_text().as_bytes());
        assert_eq!(again.expect("what was written can be read"), message);
    }
}
