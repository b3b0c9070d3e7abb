//! Cursor: how far a device has got in the events of its session.

use std::fmt;

/// The number of the last event that a device has; 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Reads one in the only form in which it is given out: decimal, without sign or leading zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text == "0" || text.starts_with(|first: char| ('1'..='9').contains(&first));
        text.parse().ok().filter(|_| is_plain).map(Self)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_form() {
        for number in [0, 1, 10, u64::MAX] {
            assert_eq!(Cursor::parse(&Cursor(number).to_string()), Some(Cursor(number)));
        }
        for text in
            ["", "00", "01", "+1", "-1", "1 ", " 1", "1.0", "a", "18446744073709551616", "٣"]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
