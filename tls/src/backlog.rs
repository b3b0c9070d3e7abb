//! Backlog: bytes that wait for somebody to take them, in order. It owns no memory while it is empty.

#[derive(Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    taken: usize,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What waits.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        // Mostly all there will be until it is empty again, so no room for more is made.
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// So many bytes were taken.
    pub(crate) fn advance(&mut self, taken: usize) {
        self.taken += taken;
        assert!(self.taken <= self.bytes.len(), "only what waits can be taken");
        if self.taken == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Adds room for so many bytes and has it filled.
    pub(crate) fn push_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        let end = self.bytes.len();
        self.bytes.resize(end + len, 0);
        fill(&mut self.bytes[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_taken_in_order_and_then_the_memory_is_given_back() {
        let mut backlog = Backlog::default();
        backlog.push(b"abc");
        backlog.push_with(2, |room| room.copy_from_slice(b"de"));
        backlog.advance(2);
        assert_eq!((backlog.waiting(), backlog.len()), (&b"cde"[..], 3));
        backlog.push(b"f");
        backlog.advance(4);
        assert!(backlog.is_empty());
        assert_eq!((backlog.bytes.capacity(), backlog.taken), (0, 0));
    }
}
