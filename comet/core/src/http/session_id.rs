//! Session id: what a device shows to be let on with its session. Whoever has it is that device.

use std::fmt;

/// 128 random bits; 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Takes random bits.
    pub fn new(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == 32 && text.bytes().all(is_digit);
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_id)?;
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// It is a secret: logs are not to have it.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_has_one_form_and_is_not_logged() {
        let id = SessionId::new([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        let text = id.to_string();
        assert_eq!(text, "000102030405060708090a0b0c0d0eff");
        assert_eq!(SessionId::parse(&text), Some(id));
        for text in ["", &text[1..], &text.to_uppercase(), &format!("+{}", &text[1..]), "é"] {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
        assert_eq!(format!("{id:?}"), "SessionId");
    }
}
