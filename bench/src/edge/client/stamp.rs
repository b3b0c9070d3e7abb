//! Stamp: what a message carries so that its arrival can be judged. It is text, so that every protocol
//! carries it as it is.

use bytes::Bytes;

/// Bytes of a stamp, and of the shortest body.
pub const STAMP_BYTES: usize = 32;

/// Digits of its three numbers.
const RUN_DIGITS: usize = 4;
const NUMBER_DIGITS: usize = 12;
const DUE_DIGITS: usize = 16;

const _: () = assert!(RUN_DIGITS + NUMBER_DIGITS + DUE_DIGITS == STAMP_BYTES);

/// The beginning of a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which measurement it belongs to; what arrives late from another one does not count.
    pub run: u16,
    /// Which of the measurement's pushes it is, from 0, below 2^48.
    pub number: u64,
    /// When it was due to be pushed, on the client's clock.
    pub due_ns: u64,
}

impl Stamp {
    /// A body of so many bytes that begins with it; shorter ones are as long as the stamp.
    pub fn body(self, bytes: usize) -> Bytes {
        let Self { run, number, due_ns } = self;
        let mut body =
            format!("{run:0RUN_DIGITS$x}{number:0NUMBER_DIGITS$x}{due_ns:0DUE_DIGITS$x}")
                .into_bytes();
        body.resize(bytes.max(STAMP_BYTES), b'.');
        body.into()
    }

    /// Reads one; none where the body begins with something else.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (run, rest) = body.split_at_checked(RUN_DIGITS)?;
        let (number, rest) = rest.split_at_checked(NUMBER_DIGITS)?;
        let due = rest.get(..DUE_DIGITS)?;
        Some(Self { run: u16::try_from(hex(run)?).ok()?, number: hex(number)?, due_ns: hex(due)? })
    }
}

/// At most 16 hexadecimal digits. Called for every delivery: no allocation, no text conversion.
fn hex(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u64::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_from_its_body_and_from_nothing_else() {
        for stamp in [
            Stamp { run: 3, number: 0xabc, due_ns: 7 },
            Stamp { run: u16::MAX, number: (1 << 48) - 1, due_ns: u64::MAX },
        ] {
            for bytes in [0, STAMP_BYTES, 100] {
                let body = stamp.body(bytes);
                assert_eq!(body.len(), bytes.max(STAMP_BYTES));
                assert_eq!(Stamp::read(&body), Some(stamp));
                assert_eq!(Stamp::read(&body[..STAMP_BYTES - 1]), None);
            }
        }
        assert_eq!(Stamp::read(b"a body of somebody else, which is long enough"), None);
    }

    #[test]
    fn a_body_is_text_without_anything_that_json_would_escape() {
        let body = Stamp { run: 1, number: 2, due_ns: 3 }.body(40);
        assert!(body.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'.'));
    }
}
