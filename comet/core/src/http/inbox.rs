//! Inbox: what a device has posted, on its way to its connection: texts, and signs of life between them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::decoder::Input;
use crate::limits::{HTTP_INBOX_BYTES_MAX, HTTP_SIGNS_MAX};

/// Bytes of the length in front of each text. A sign of life is a text of no length.
const LENGTH_BYTES: usize = 4;

/// The device posts or asks faster than its connection takes it. It may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much waits to be carried out")]
pub struct Full;

/// What a device has posted.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: BytesMut,
    /// Signs of life that came since nothing waited.
    signs: usize,
}

impl Inbox {
    /// Takes a text of at least one byte.
    ///
    /// # Errors
    /// [`Full`].
    pub fn post(&mut self, text: &[u8]) -> Result<(), Full> {
        debug_assert!(!text.is_empty(), "no length means a sign of life");
        if self.bytes.len() + LENGTH_BYTES + text.len() > HTTP_INBOX_BYTES_MAX {
            return Err(Full);
        }
        let len = u32::try_from(text.len()).map_err(|_| Full)?;
        self.bytes.put_u32(len);
        self.bytes.put_slice(text);
        Ok(())
    }

    /// Takes a sign of life. One says as much as several, but each is counted as a frame by whoever reads it.
    ///
    /// # Errors
    /// [`Full`]; as many wait as are counted.
    pub fn sign(&mut self) -> Result<(), Full> {
        if self.signs == HTTP_SIGNS_MAX {
            return Err(Full);
        }
        self.signs += 1;
        self.bytes.put_u32(0);
        Ok(())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// So many bytes at most, for the decoder.
    pub fn take(&mut self, most: usize) -> Bytes {
        let taken = self.bytes.split_to(most.min(self.bytes.len())).freeze();
        if self.bytes.is_empty() {
            *self = Self::default();
        }
        taken
    }
}

/// Finds the texts again. Between them it owns no buffer.
#[derive(Debug, Default)]
pub(crate) struct PostStream(BytesMut);

impl PostStream {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn poll(&mut self) -> Option<Input> {
        let len = u32::from_be_bytes(*self.0.first_chunk::<LENGTH_BYTES>()?) as usize;
        if self.0.len() < LENGTH_BYTES + len {
            return None;
        }
        self.0.advance(LENGTH_BYTES);
        let text = self.0.split_to(len).freeze();
        if self.0.is_empty() {
            self.0 = BytesMut::new();
        }
        Some(if text.is_empty() { Input::Ping(text) } else { Input::Text(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_signs_of_life_arrive_in_order_however_they_are_cut() {
        for most in [1, 3, 1000] {
            let (mut inbox, mut stream) = (Inbox::default(), PostStream::default());
            inbox.post(b"first").unwrap();
            inbox.sign().unwrap();
            inbox.sign().unwrap();
            inbox.post(b"second\n").unwrap();
            let mut found = Vec::new();
            while !inbox.is_empty() {
                stream.feed(&inbox.take(most));
                found.extend(std::iter::from_fn(|| stream.poll()));
            }
            let text = |text: &'static [u8]| Input::Text(Bytes::from_static(text));
            let sign = Input::Ping(Bytes::new());
            assert_eq!(found, [text(b"first"), sign.clone(), sign, text(b"second\n")]);
        }
    }

    #[test]
    fn more_than_may_wait_is_refused_and_posts_leave_room_for_signs_of_life() {
        let mut inbox = Inbox::default();
        let text = [b'x'; 8192];
        let fit = HTTP_INBOX_BYTES_MAX / (text.len() + LENGTH_BYTES);
        (0..fit).for_each(|_| inbox.post(&text).unwrap());
        assert_eq!(inbox.post(&text), Err(Full));
        (0..HTTP_SIGNS_MAX).for_each(|_| inbox.sign().unwrap());
        assert_eq!(inbox.sign(), Err(Full));
        let taken = inbox.take(usize::MAX);
        assert_eq!(taken.len(), fit * (text.len() + LENGTH_BYTES) + HTTP_SIGNS_MAX * LENGTH_BYTES);
        assert!(inbox.is_empty());
        inbox.post(&text).unwrap();
        inbox.sign().unwrap();
    }
}
