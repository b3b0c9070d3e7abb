//! Displace: how pushes that have waited longest make room for a newer one.

use orrery_model::message::{Delivered, DropReason};

use super::{Item, Outbox, OutboxLimits};

impl Outbox {
    /// Makes room for a pushed frame of this length: the pushes that have waited longest go, as few as will do. Answers
    /// stay, and so does that of which a part was written. Returns how many frames went; none where all of them
    /// would not be enough, and then all stay. Costs as much as what goes, and what stays in front of it.
    pub(crate) fn displace(&mut self, len: usize, limits: OutboxLimits) -> usize {
        if self.has_room(len, limits) || !self.may_make_room(len, limits) {
            return 0;
        }
        let (begun, frames) = (self.begun(), self.frames);
        let mut stays = Vec::new();
        while let Some(mut item) = self.items.pop_front() {
            if stays.len() < begun || item.answer {
                stays.push(item);
                continue;
            }
            self.frames -= item.frames;
            self.bytes -= item.bytes.len();
            if let Some(slip) = item.slip.take() {
                slip.dropped(Delivered::Dropped(DropReason::Displaced));
            }
            if self.is_below(len, limits) {
                break;
            }
        }
        for item in stays.into_iter().rev() {
            self.items.push_front(item);
        }
        let displaced = frames - self.frames;
        self.dropped(u32::try_from(displaced).unwrap_or(u32::MAX));
        displaced
    }

    /// Whether there would be room for a frame of this length if all went that may.
    fn may_make_room(&self, len: usize, limits: OutboxLimits) -> bool {
        let begun = self.items.iter().take(self.begun()).filter(|item| !item.answer);
        let (mut frames, mut bytes) = (self.answers(), self.answer_bytes as usize);
        for item in begun {
            frames += item.frames;
            bytes += item.bytes.len();
        }
        frames == 0 || (frames < limits.frames && bytes - self.offset + len <= limits.bytes)
    }

    /// How many of the first items have begun to be written.
    fn begun(&self) -> usize {
        let mut begun = self.offset + self.taken;
        let is_begun = |item: &&Item| {
            let is_begun = begun > 0;
            begun = begun.saturating_sub(item.bytes.len());
            is_begun
        };
        self.items.iter().take_while(is_begun).count()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { frames: 3, bytes: 10 };

    fn queued(outbox: &Outbox) -> Vec<&[u8]> {
        outbox.queued().map(|bytes| &bytes[..]).collect()
    }

    #[test]
    fn the_oldest_pushes_make_room_and_no_more_of_them_than_have_to() {
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"a"));
        for frame in [b"bbb", b"ccc"] {
            outbox.push(Bytes::from_static(frame), None, LIMITS).unwrap();
        }
        assert_eq!(outbox.displace(3, LIMITS), 1);
        assert_eq!(queued(&outbox), [&b"a"[..], b"ccc"]);
        assert_eq!(outbox.displace(3, LIMITS), 0, "there is room");
        outbox.push(Bytes::from_static(b"ddd"), None, LIMITS).unwrap();
        assert_eq!(outbox.displace(9, LIMITS), 2);
        assert_eq!((queued(&outbox), outbox.bytes, outbox.frames), (vec![&b"a"[..]], 1, 1));
    }

    #[test]
    fn what_has_begun_to_be_written_stays_and_so_does_all_where_it_would_not_be_enough() {
        let mut outbox = Outbox::default();
        for frame in [b"bbb", b"ccc", b"ddd"] {
            outbox.push(Bytes::from_static(frame), None, LIMITS).unwrap();
        }
        outbox.advance(1);
        // A stream has taken the rest of the first one and a part of the second.
        outbox.taken = 3;
        assert_eq!(outbox.displace(9, LIMITS), 0);
        assert_eq!(queued(&outbox), [&b"bbb"[..], b"ccc", b"ddd"]);
        assert_eq!(outbox.displace(3, LIMITS), 1);
        assert_eq!(queued(&outbox), [&b"bbb"[..], b"ccc"]);
        outbox.taken = 0;
        outbox.advance(2);
        assert_eq!(outbox.displace(100, LIMITS), 1, "an empty one takes a frame of any length");
        assert!(outbox.is_empty());
    }

    #[test]
    fn nothing_behind_what_goes_is_touched() {
        let limits = OutboxLimits { frames: 1000, bytes: 10_000 };
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"a"));
        while outbox.push(Bytes::from_static(b"b"), None, limits).is_ok() {}
        let places =
            |outbox: &Outbox| outbox.items.iter().map(std::ptr::from_ref).collect::<Vec<_>>();
        let before = places(&outbox);
        assert_eq!(outbox.displace(1, limits), 1);
        assert_eq!(places(&outbox)[1..], before[2..], "they are where they were");
        assert!(outbox.items[0].answer);
        let before = places(&outbox);
        assert_eq!(outbox.displace(10_000, limits), 0, "the answer stays");
        assert_eq!(places(&outbox), before);
    }

    #[test]
    fn answers_written_in_part_leave_as_much_room_as_they_took() {
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"aaaa"));
        outbox.push_promised(Bytes::from_static(b"bbbb"), 2, None);
        outbox.advance(3);
        assert_eq!(outbox.displace(10, LIMITS), 0);
        assert_eq!(outbox.displace(9, LIMITS), 2, "one byte of the answer is left");
        assert_eq!((queued(&outbox), outbox.bytes, outbox.frames), (vec![&b"aaaa"[..]], 1, 1));
        outbox.advance(1);
        assert_eq!((outbox.answers, outbox.answer_bytes, outbox.bytes), (0, 0, 0));
    }
}
