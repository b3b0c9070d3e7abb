//! Ring: the events of a session that its device may still ask for, numbered from 1.
//!
//! An event is *shown* when it is put into a response, and *given* when a socket has taken that response. A device
//! that names a [`Cursor`] has all events up to it, and they are forgotten. What was given and not acknowledged
//! (a stream acknowledges nothing until its device comes back) is kept within limits, and no response shows more than
//! so much behind its cursor, however often a device asks on with the same one. What was not given is kept in any
//! case, and is bounded by whoever pushes: it does so only while everything is given.

use std::collections::VecDeque;

use bytes::Bytes;

use super::cursor::Cursor;
use crate::limits::{
    HTTP_KEPT_BYTES_MAX, HTTP_KEPT_EVENTS_MAX, HTTP_SHOWN_BYTES_MAX, HTTP_SHOWN_EVENTS_MAX,
};

/// Why a device cannot go on from its cursor. Trying again cannot help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// No response ever had this event.
    #[error("the cursor was never given out")]
    NeverShown,
    /// What came after it is forgotten.
    #[error("what came after the cursor is not kept any more")]
    Passed,
}

/// The events of one session.
#[derive(Debug, Default)]
pub struct Ring {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// The number of the last event that is forgotten.
    forgotten: u64,
    shown: u64,
    given: u64,
    /// Where the newest response begins: whatever it holds may have to be repeated.
    newest: u64,
    /// Where the last words begin; known once [`Ring::cut`] was called.
    last_words: u64,
}

impl Ring {
    /// Adds an event: the JSON text of a message.
    pub fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
    }

    /// Takes what a device says it has; its response begins there. Returns whether it is more than was known.
    ///
    /// # Errors
    /// [`CursorError`]; nothing has changed then.
    pub fn acknowledge(&mut self, Cursor(cursor): Cursor) -> Result<bool, CursorError> {
        if cursor > self.shown {
            return Err(CursorError::NeverShown);
        }
        if cursor < self.forgotten {
            return Err(CursorError::Passed);
        }
        let is_news = cursor > self.forgotten;
        while self.forgotten < cursor {
            self.forget();
        }
        self.given = self.given.max(cursor);
        // An older response may be given before the one that begins here is shown.
        self.newest = cursor;
        Ok(is_news)
    }

    /// What is there after a cursor, as much as one response shows, and the cursor behind it.
    ///
    /// # Panics
    /// Where the cursor is not the one that [`Ring::acknowledge`] took last, or this returned since.
    pub fn show(&mut self, Cursor(after): Cursor) -> (Vec<Bytes>, Cursor) {
        let skip = after.checked_sub(self.forgotten).expect("what is being shown is not forgotten");
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |event: &&Bytes| {
            let is_first = bytes == 0;
            bytes += event.len();
            is_first || bytes <= HTTP_SHOWN_BYTES_MAX
        };
        let events = self.events.iter().skip(skip).take(HTTP_SHOWN_EVENTS_MAX);
        let events: Vec<Bytes> = events.take_while(fits).cloned().collect();
        let upto = after + events.len() as u64;
        self.shown = self.shown.max(upto);
        self.newest = after;
        (events, Cursor(upto))
    }

    /// Whether there is an event after a cursor.
    pub fn has_after(&self, Cursor(after): Cursor) -> bool {
        self.last() > after
    }

    /// A socket has taken all events up to this one.
    pub fn give(&mut self, Cursor(upto): Cursor) {
        self.given = self.given.max(upto.min(self.shown));
        while self.forgotten < self.given.min(self.newest) && self.is_more_than_kept() {
            self.forget();
        }
    }

    /// Whether a socket has taken all events.
    pub fn is_given(&self) -> bool {
        self.given == self.last()
    }

    /// Whether what came after a cursor is forgotten.
    pub fn is_passed(&self, Cursor(after): Cursor) -> bool {
        after < self.forgotten
    }

    /// Drops what no response has shown: nobody is to get it any more. What is pushed from now on are the last words.
    pub fn cut(&mut self) {
        while self.last() > self.shown
            && let Some(event) = self.events.pop_back()
        {
            self.bytes -= event.len();
        }
        self.last_words = self.last();
    }

    /// Drops all events but the last words, whoever still wants them.
    pub fn keep_last_words(&mut self) {
        while self.forgotten < self.last_words {
            self.forget();
        }
        self.events.shrink_to_fit();
    }

    /// Drops the oldest events, whoever still wants them, until no more are left than are kept.
    pub fn shrink(&mut self) {
        while self.is_more_than_kept() {
            self.forget();
        }
        self.events.shrink_to_fit();
    }

    fn is_more_than_kept(&self) -> bool {
        self.events.len() > HTTP_KEPT_EVENTS_MAX || self.bytes > HTTP_KEPT_BYTES_MAX
    }

    /// The number of the last event.
    fn last(&self) -> u64 {
        self.forgotten + self.events.len() as u64
    }

    fn forget(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.len();
            self.forgotten += 1;
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64) -> Bytes {
        format!("event {number}").into()
    }

    /// A ring with so many events.
    fn ring(events: u64) -> Ring {
        let mut ring = Ring::default();
        (1..=events).for_each(|number| ring.push(event(number)));
        ring
    }

    fn shown(ring: &mut Ring, after: u64) -> (Vec<Bytes>, Cursor) {
        ring.acknowledge(Cursor(after)).unwrap();
        ring.show(Cursor(after))
    }

    #[test]
    fn a_response_that_was_lost_is_repeated_and_what_was_acknowledged_is_forgotten() {
        let mut ring = ring(2);
        let first = shown(&mut ring, 0);
        assert_eq!(first, (vec![event(1), event(2)], Cursor(2)));
        ring.give(Cursor(2));
        assert_eq!(shown(&mut ring, 0), first, "the device did not get it");
        ring.push(event(3));
        assert_eq!(shown(&mut ring, 0).0, [event(1), event(2), event(3)], "and what came since");
        assert_eq!(ring.acknowledge(Cursor(2)), Ok(true));
        assert_eq!(ring.acknowledge(Cursor(2)), Ok(false));
        assert_eq!(ring.show(Cursor(2)), (vec![event(3)], Cursor(3)));
        assert_eq!(ring.acknowledge(Cursor(1)), Err(CursorError::Passed));
        assert_eq!(ring.bytes, event(3).len());
    }

    #[test]
    fn a_cursor_that_no_response_had_is_refused_and_changes_nothing() {
        let mut ring = ring(2);
        for forged in [1, 2, 3, u64::MAX] {
            assert_eq!(ring.acknowledge(Cursor(forged)), Err(CursorError::NeverShown), "{forged}");
        }
        assert_eq!(shown(&mut ring, 0).0.len(), 2);
        assert_eq!(ring.acknowledge(Cursor(1)), Ok(true), "half of a stream may have arrived");
        assert_eq!(ring.show(Cursor(1)).0, [event(2)]);
    }

    #[test]
    fn only_what_a_socket_took_is_given() {
        let mut ring = ring(1);
        assert!(!ring.is_given());
        ring.give(Cursor(1));
        assert!(!ring.is_given(), "no response has it");
        shown(&mut ring, 0);
        assert!(!ring.is_given());
        ring.give(Cursor(1));
        assert!(ring.is_given());
        ring.push(event(2));
        shown(&mut ring, 0);
        assert!(!ring.is_given());
        assert_eq!(ring.acknowledge(Cursor(2)), Ok(true));
        assert!(ring.is_given(), "a device has it: some socket took it");
    }

    #[test]
    fn a_stream_keeps_as_much_as_may_be_kept_and_its_newest_events_in_any_case() {
        let mut ring = Ring::default();
        let mut cursor = Cursor(0);
        for number in 1..=1000 {
            ring.push(event(number));
            cursor = ring.show(cursor).1;
            ring.give(cursor);
        }
        assert_eq!(ring.events.len(), HTTP_KEPT_EVENTS_MAX);
        let oldest = 1000 - HTTP_KEPT_EVENTS_MAX as u64;
        assert_eq!(ring.acknowledge(Cursor(oldest - 1)), Err(CursorError::Passed));
        assert_eq!(shown(&mut ring, oldest).0.len(), HTTP_KEPT_EVENTS_MAX);
        ring.give(Cursor(1000));
        ring.push(vec![b'x'; 2 * HTTP_KEPT_BYTES_MAX].into());
        cursor = ring.show(cursor).1;
        ring.give(cursor);
        assert_eq!(ring.events.len(), 1, "however large it is");
        ring.push(event(1002));
        cursor = ring.show(cursor).1;
        assert_eq!(ring.events.len(), 2, "what follows is not given yet");
        ring.give(cursor);
        assert_eq!((ring.events.len(), ring.bytes), (1, event(1002).len()));
    }

    /// Pushes as an outbox does: only while everything is given.
    fn push_given(ring: &mut Ring, pushed: &mut u64, most: u64, bytes: usize) {
        if ring.is_given() {
            for _ in 0..most {
                *pushed += 1;
                let mut event = format!("event {pushed} ").into_bytes();
                event.resize(bytes.max(event.len()), b'x');
                ring.push(event.into());
            }
        }
    }

    #[test]
    fn a_device_that_asks_on_with_an_old_cursor_is_kept_no_more_for_and_loses_nothing() {
        // Many small events, few large ones, and some that are more than a response each.
        for (most, bytes, shown_max) in [
            (64, 0, HTTP_SHOWN_EVENTS_MAX),
            (64, 1000, HTTP_SHOWN_BYTES_MAX / 1000),
            (1, 2 * HTTP_SHOWN_BYTES_MAX, 1),
        ] {
            let (mut ring, mut pushed) = (Ring::default(), 0);
            for _ in 0..400 {
                push_given(&mut ring, &mut pushed, most, bytes);
                let (events, upto) = shown(&mut ring, 0);
                ring.give(upto);
                assert!(events.len() <= shown_max, "{bytes}: {}", events.len());
                assert!(ring.events.len() <= shown_max + most as usize, "{bytes}");
            }
            assert!(!ring.is_given(), "{bytes}: so that nobody pushes on");
            // It gets on after all, by polls or by a stream.
            let mut got = 0;
            let mut cursor = Cursor(0);
            for round in 0..800 {
                if round % 2 == 0 {
                    ring.acknowledge(cursor).unwrap();
                }
                let (events, upto) = ring.show(cursor);
                for event in events {
                    got += 1;
                    assert!(event.starts_with(format!("event {got} ").as_bytes()), "{got}");
                }
                assert_eq!(upto, Cursor(got));
                ring.give(upto);
                cursor = upto;
                push_given(&mut ring, &mut pushed, most, bytes);
            }
            assert!(ring.is_given() || got + most == pushed, "{bytes}: {got} of {pushed}");
            assert!(got > 400, "{bytes}: {got}");
        }
    }

    #[test]
    fn an_older_response_that_is_given_late_takes_nothing_from_the_one_that_begins() {
        let events = HTTP_KEPT_EVENTS_MAX as u64;
        let mut ring = ring(events);
        let early = shown(&mut ring, 0).1;
        ring.give(early);
        (1..=events).for_each(|number| ring.push(event(events + number)));
        // A stream shows more; while it is being written, its device asks anew where it was before.
        let late = ring.show(Cursor(events)).1;
        assert_eq!(ring.acknowledge(Cursor(1)), Ok(true));
        ring.give(late);
        let (events, upto) = ring.show(Cursor(1));
        assert_eq!((&events[0], upto), (&event(2), late));
    }

    #[test]
    fn of_a_session_that_is_over_no_more_is_kept_than_of_a_stream_and_its_last_word() {
        let mut ring = Ring::default();
        (0..4).for_each(|_| ring.push(vec![b'x'; HTTP_KEPT_BYTES_MAX / 3].into()));
        assert_eq!(shown(&mut ring, 0).1, Cursor(4));
        ring.push(Bytes::from_static(b"goodbye"));
        ring.shrink();
        assert!(ring.is_passed(Cursor(1)) && !ring.is_passed(Cursor(2)));
        assert_eq!(ring.acknowledge(Cursor(1)), Err(CursorError::Passed));
        assert_eq!(shown(&mut ring, 2).0.len(), 3);
        assert_eq!(shown(&mut ring, 4).0, [Bytes::from_static(b"goodbye")]);
    }

    #[test]
    fn at_the_end_nobody_gets_what_no_response_has_shown() {
        let mut ring = ring(1);
        shown(&mut ring, 0);
        ring.push(event(2));
        ring.cut();
        ring.push(Bytes::from_static(b"goodbye"));
        assert_eq!(shown(&mut ring, 0).0, [event(1), Bytes::from_static(b"goodbye")]);
    }

    #[test]
    fn in_the_end_only_the_last_words_are_kept_and_whoever_has_all_before_them_gets_them() {
        let mut ring = ring(3);
        let upto = shown(&mut ring, 0).1;
        ring.give(upto);
        ring.push(event(4));
        ring.cut();
        let last_words = [Bytes::from_static(b"drain"), Bytes::from_static(b"close")];
        last_words.iter().for_each(|word| ring.push(word.clone()));
        ring.keep_last_words();
        assert_eq!((ring.events.len(), ring.bytes), (2, 10));
        assert_eq!(ring.acknowledge(Cursor(2)), Err(CursorError::Passed));
        assert!(!ring.is_given());
        assert_eq!(shown(&mut ring, 3), (last_words.to_vec(), Cursor(5)));
        ring.keep_last_words();
        assert_eq!(shown(&mut ring, 3).0, last_words, "they may be lost on their way, too");
    }
}
