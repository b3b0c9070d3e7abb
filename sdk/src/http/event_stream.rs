//! Event stream: what is in the text of a stream (WHATWG HTML, 9.2.6), as a comet writes it. Pure.

use bytes::{Buf, BytesMut};
use serde_json::Value;

use crate::limits::STREAM_LINE_BYTES_MAX;

/// The text of one stream. The network cuts it anywhere.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    /// The beginning of a block.
    text: BytesMut,
    has_words: bool,
}

/// What stands between two empty lines: an event, or a comment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) cursor: Option<String>,
    /// No object where it cannot be read.
    pub(super) event: Option<Value>,
}

/// A block has no end for too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl EventStream {
    /// Whether it had no event and no comment yet.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_words
    }

    /// Takes a piece, and gives the blocks that end in it.
    ///
    /// # Errors
    /// [`TooLong`]; nothing is kept of the piece.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<Block>, TooLong> {
        self.take_within(STREAM_LINE_BYTES_MAX, piece)
    }

    /// The same, where a piece and what is kept before it have so many bytes at most.
    fn take_within(&mut self, bytes_max: usize, piece: &[u8]) -> Result<Vec<Block>, TooLong> {
        if self.text.len() + piece.len() > bytes_max {
            return Err(TooLong);
        }
        // What was there before has no end of a block in it.
        let mut from = self.text.len().saturating_sub(1);
        self.text.extend_from_slice(piece);
        let mut blocks = Vec::new();
        while let Some(end) = self.text[from..].windows(2).position(|pair| pair == b"\n\n") {
            blocks.extend(Block::read(&self.text.split_to(from + end)));
            self.text.advance(2);
            from = 0;
        }
        if self.text.is_empty() {
            self.text = BytesMut::new();
        }
        self.has_words |= !blocks.is_empty();
        Ok(blocks)
    }
}

impl Block {
    /// None where it only tells when to come back, which a comet does before it knows whether there is anything to say.
    fn read(text: &[u8]) -> Option<Self> {
        let (mut block, mut is_comment) = (Self { cursor: None, event: None }, false);
        for line in text.split(|byte: &u8| *byte == b'\n') {
            if let Some(id) = line.strip_prefix(b"id: ") {
                block.cursor = Some(String::from_utf8_lossy(id).into_owned());
            } else if let Some(data) = line.strip_prefix(b"data: ") {
                block.event = Some(serde_json::from_slice(data).unwrap_or_default());
            } else {
                is_comment |= line.starts_with(b":");
            }
        }
        (is_comment || block.cursor.is_some() || block.event.is_some()).then_some(block)
    }
}

/// Reads a text in pieces of this length, for fuzz targets only: what each block says, and whether there was room for
/// all of the text.
///
/// # Panics
/// Where more is kept than may be, or anything else than what has no end yet.
pub(crate) fn read_in_pieces(text: &[u8], length: usize, bytes_max: usize) -> (Vec<String>, bool) {
    let mut stream = EventStream::default();
    let (mut blocks, mut taken) = (Vec::new(), 0);
    for piece in text.chunks(length) {
        let Ok(more) = stream.take_within(bytes_max, piece) else { return (blocks, false) };
        taken += piece.len();
        blocks.extend(more.iter().map(|block| format!("{block:?}")));
        assert!(stream.text.len() <= bytes_max && text[..taken].ends_with(&stream.text));
        assert!(!stream.text.windows(2).any(|pair| pair == b"\n\n"));
        assert_eq!(stream.is_empty(), blocks.is_empty());
    }
    (blocks, true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stream_means_the_same_in_any_cut() {
        let message = json!({"type": "message", "op": 9, "data": "zwölf ☃"});
        let text = format!("retry: 1\n\nid: 7\ndata: {message}\n\n:\n\nid: 8\ndata: {message}\n\n");
        let event = |id: &str| Block { cursor: Some(id.to_owned()), event: Some(message.clone()) };
        let comment = Block { cursor: None, event: None };
        let expected = [event("7"), comment, event("8")];
        for cut in 0..=text.len() {
            let mut stream = EventStream::default();
            let mut blocks = stream.take(&text.as_bytes()[..cut]).unwrap();
            blocks.extend(stream.take(&text.as_bytes()[cut..]).unwrap());
            assert_eq!(blocks, expected, "{cut}");
        }
    }

    #[test]
    fn when_to_come_back_is_no_word() {
        let mut stream = EventStream::default();
        assert_eq!(stream.take(b"retry: 1\n\nid: 1"), Ok(Vec::new()));
        assert!(stream.is_empty());
        assert_eq!(stream.take(b"\ndata: {\n\n").unwrap()[0].event, Some(Value::Null));
        assert!(!stream.is_empty());
        let mut stream = EventStream::default();
        stream.take(b":\n\n").unwrap();
        assert!(!stream.is_empty());
    }

    #[test]
    fn an_event_without_an_end_is_not_kept() {
        let mut stream = EventStream::default();
        assert_eq!(stream.take(&vec![b'x'; STREAM_LINE_BYTES_MAX]), Ok(Vec::new()));
        assert_eq!(stream.take(b"x"), Err(TooLong));
        assert_eq!(stream.text.len(), STREAM_LINE_BYTES_MAX);
    }
}
