//! Query: parameters as Go's libraries read and check them, with their messages.

use percent_encoding::percent_decode_str;

use crate::goim::answer::Refusal;

/// A parsed query. Pairs that cannot be decoded are left out, as Go does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            if pair.is_empty() || pair.contains(';') {
                return None;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        Self(text.split('&').filter_map(pair).collect())
    }

    /// A text; empty where it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.texts(name).first().copied().unwrap_or_default()
    }

    /// All texts of a name.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        let named = self.0.iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// An int32; 0 where it is absent or empty.
    ///
    /// # Errors
    /// With Go's message where it is no number, or too large.
    pub(super) fn int32(&self, name: &str) -> Result<i32, Refusal> {
        integer(self.text(name))
    }

    /// An int64; 0 where it is absent or empty.
    ///
    /// # Errors
    /// With Go's message where it is no number, or too large.
    pub(super) fn int64(&self, name: &str) -> Result<i64, Refusal> {
        integer(self.text(name))
    }

    /// All int64 of a name; an empty one counts as 0.
    ///
    /// # Errors
    /// With Go's message where one is no number, or too large.
    pub(super) fn int64s(&self, name: &str) -> Result<Vec<i64>, Refusal> {
        self.texts(name).into_iter().map(integer).collect()
    }
}

/// Checks what goim requires: every field that is missing (0, empty, or no element) is named, one a line.
///
/// # Errors
/// With the validator's message.
pub(super) fn require(fields: &[(&str, bool)]) -> Result<(), Refusal> {
    let missing: Vec<String> = fields
        .iter()
        .filter(|(_, present)| !present)
        .map(|(field, _)| invalid(field, "required"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Refusal::Request(missing.join("\n"))) }
}

/// The validator's message for a field.
pub(super) fn invalid(field: &str, tag: &str) -> String {
    format!("Key: '{field}' Error:Field validation for '{field}' failed on the '{tag}' tag")
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let bad_escape = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').any(|(at, _)| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if bad_escape {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

fn integer<T: TryFrom<i128>>(text: &str) -> Result<T, Refusal> {
    if text.is_empty() {
        return integer("0");
    }
    let failed = |what| Refusal::Request(format!("strconv.ParseInt: parsing {text:?}: {what}"));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(failed("invalid syntax"));
    }
    let number = text.parse::<i128>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| failed("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let read = |text: &str| Query::parse(text).int32("n");
        let refused =
            |what: &str| Err(Refusal::Request(format!("strconv.ParseInt: parsing {what}")));
        assert_eq!(read(""), Ok(0));
        assert_eq!(read("n="), Ok(0));
        assert_eq!(read("n=%2B5"), Ok(5));
        assert_eq!(read("n=-2147483648"), Ok(i32::MIN));
        assert_eq!(read("n=1&n=x"), Ok(1));
        assert_eq!(read("n=abc"), refused("\"abc\": invalid syntax"));
        assert_eq!(read("n=1,2"), refused("\"1,2\": invalid syntax"));
        assert_eq!(read("n=+5"), refused("\" 5\": invalid syntax"));
        assert_eq!(read("n=2147483648"), refused("\"2147483648\": value out of range"));
        let huge = format!("n={}", "9".repeat(60));
        assert!(
            matches!(read(&huge), Err(Refusal::Request(m)) if m.ends_with("value out of range"))
        );
    }

    #[test]
    fn pairs_that_cannot_be_decoded_are_left_out() {
        let query = Query::parse("a=1&b=%zz&c=x;y&d=%E4%BD%A0+x&e&&f=%ff&a=2");
        assert_eq!(query.texts("a"), ["1", "2"]);
        assert_eq!(query.text("d"), "你 x");
        assert_eq!(query.texts("e"), [""]);
        for name in ["b", "c", "f"] {
            assert!(query.texts(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn everything_missing_is_named_one_a_line() {
        assert_eq!(require(&[("Op", true)]), Ok(()));
        let Err(Refusal::Request(message)) = require(&[("Type", false), ("Limit", false)]) else {
            panic!("two fields are missing");
        };
        assert_eq!(
            message,
            "Key: 'Type' Error:Field validation for 'Type' failed on the 'required' tag\n\
             Key: 'Limit' Error:Field validation for 'Limit' failed on the 'required' tag"
        );
    }
}
