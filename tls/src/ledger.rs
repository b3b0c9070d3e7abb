//! Ledger: what of a device's ciphertext was anything but its words.

use crate::limits::BARREN_BYTES_MAX;

/// Counts what a device sends beside its plaintext, all of which costs us as much.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Ciphertext beyond the plaintext in it that was not taken yet. Below zero where the beginning of a record was
    /// taken before its plaintext came.
    overhead: i32,
    /// Ciphertext in a row that carried no plaintext.
    barren: u32,
}

/// More ciphertext than [`BARREN_BYTES_MAX`] said nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Barren;

impl Ledger {
    /// So much ciphertext came, and so much plaintext with the end of it.
    ///
    /// # Errors
    /// [`Barren`].
    pub(crate) fn enter(&mut self, ciphertext: usize, plaintext: usize) -> Result<(), Barren> {
        // Both are a few records at most.
        let small = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        self.overhead = self.overhead.saturating_add(small(ciphertext) - small(plaintext));
        self.barren = match plaintext {
            0 => self.barren.saturating_add(small(ciphertext).unsigned_abs()),
            _ => 0,
        };
        if self.barren as usize > BARREN_BYTES_MAX { Err(Barren) } else { Ok(()) }
    }

    /// The overhead since the last call, in bytes.
    pub(crate) fn take_overhead(&mut self) -> usize {
        let taken = self.overhead.max(0);
        self.overhead -= taken;
        taken.unsigned_abs() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_taken_once_however_its_record_comes() {
        let mut ledger = Ledger::default();
        ledger.enter(1022, 1000).unwrap();
        assert_eq!((ledger.take_overhead(), ledger.take_overhead()), (22, 0));
        // A record in two parts, and what is taken in between.
        ledger.enter(1000, 0).unwrap();
        assert_eq!(ledger.take_overhead(), 1000);
        ledger.enter(22, 1000).unwrap();
        assert_eq!(ledger.take_overhead(), 0);
        ledger.enter(1022, 0).unwrap();
        assert_eq!(ledger.take_overhead(), 44, "all that came, but for the words");
    }

    #[test]
    fn who_says_nothing_for_long_is_found_out_and_who_says_a_word_is_not() {
        let mut ledger = Ledger::default();
        for _ in 0..100 {
            ledger.enter(BARREN_BYTES_MAX, 0).unwrap();
            ledger.enter(23, 1).unwrap();
        }
        for _ in 0..BARREN_BYTES_MAX / 22 {
            ledger.enter(22, 0).unwrap();
        }
        assert_eq!(ledger.enter(22, 0), Err(Barren));
    }
}
