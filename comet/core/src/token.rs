//! Token: the JSON object in goim's authentication frame, read as Go's decoder reads it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// Who a goim device says it is. Nothing of it is verified here, and lengths are not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Token {
    /// User id; 0 or less: reachable by key only.
    pub mid: i64,
    /// Connection key; empty: one is drawn.
    pub key: String,
    /// Room to join; empty: none.
    pub room_id: String,
    /// Platform; empty where unknown.
    pub platform: String,
    /// Operations to accept.
    pub accepts: Vec<i32>,
}

/// The body is no token. Sending it again cannot help.
#[derive(Debug, thiserror::Error)]
#[error("the token is not readable: {0}")]
pub struct TokenError(#[from] serde_json::Error);

impl Token {
    /// Reads a token. Names match in any case, unknown ones are ignored, the last of several wins, `null`
    /// stands for an absent value, and the text `null` for an empty token. A text that is not UTF-8 is
    /// refused, where Go would replace the bytes: two devices must not get one key by accident.
    ///
    /// # Errors
    /// [`TokenError`] for anything but one JSON object with the right types.
    pub fn parse(body: &[u8]) -> Result<Self, TokenError> {
        Ok(serde_json::from_slice(body)?)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TokenVisitor)
    }
}

struct TokenVisitor;

impl<'de> Visitor<'de> for TokenVisitor {
    type Value = Token;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Token, E> {
        Ok(Token::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Token, A::Error> {
        let mut token = Token::default();
        while let Some(name) = map.next_key::<String>()? {
            match folded(&name).as_str() {
                "mid" => set(&mut token.mid, map.next_value()?),
                "key" => set(&mut token.key, map.next_value()?),
                "room_id" => set(&mut token.room_id, map.next_value()?),
                "platform" => set(&mut token.platform, map.next_value()?),
                // A null list empties it, a null element is a zero.
                "accepts" => {
                    let accepts: Option<Vec<Option<i32>>> = map.next_value()?;
                    let accepts = accepts.unwrap_or_default();
                    token.accepts = accepts.into_iter().map(Option::unwrap_or_default).collect();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(token)
    }
}

/// A null leaves what an earlier occurrence said.
fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

/// A name without its case, as Go folds it: two signs outside ASCII are letters of ASCII in disguise.
fn folded(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            _ => letter.to_ascii_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_go_reads_them() {
        let full = Token {
            mid: 123,
            key: "k".into(),
            room_id: "live://1000".into(),
            platform: "web".into(),
            accepts: vec![1000, -1, 1002],
        };
        let mid = |mid| Token { mid, ..Token::default() };
        for (text, expected) in [
            (
                r#"{"mid":123,"key":"k","room_id":"live://1000","platform":"web","accepts":[1000,-1,1002]}"#,
                full.clone(),
            ),
            (
                r#" {"MID":123,"Key":"k","Room_ID":"live://1000","PLATFORM":"web","acceptS":[1000,-1,1002]} "#,
                full,
            ),
            ("null", Token::default()),
            ("{}", Token::default()),
            (r#"{"mid":7,"unknown":{"deep":[1,{"a":null}]},"x":1.5e300}"#, mid(7)),
            (r#"{"mid":1,"mid":2}"#, mid(2)),
            (r#"{"mid":1,"MID":2}"#, mid(2)),
            (r#"{"mid":1,"mid":null}"#, mid(1)),
            (r#"{"mid":null,"key":null,"accepts":null}"#, Token::default()),
            (r#"{"mid":-9223372036854775808}"#, mid(i64::MIN)),
            (r#"{"mid":9223372036854775807}"#, mid(i64::MAX)),
            (r#"{"accepts":[1],"accepts":null}"#, Token::default()),
            (r#"{"accepts":[1,null]}"#, Token { accepts: vec![1, 0], ..Token::default() }),
            (r#"{"ſ":1,"Key":"kelvin"}"#, Token { key: "kelvin".into(), ..Token::default() }),
            (r#"{"key":"\u00e9\ud83d\ude00"}"#, Token { key: "é😀".into(), ..Token::default() }),
        ] {
            assert_eq!(Token::parse(text.as_bytes()).expect(text), expected, "{text}");
        }
    }

    #[test]
    fn anything_but_one_well_typed_object_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "[]",
            "1",
            "true",
            r#""text""#,
            r#"{"mid":"1"}"#,
            r#"{"mid":1.5}"#,
            r#"{"mid":1.0}"#,
            r#"{"mid":1e3}"#,
            r#"{"mid":true}"#,
            r#"{"mid":9223372036854775808}"#,
            r#"{"mid":-9223372036854775809}"#,
            r#"{"key":5}"#,
            r#"{"room_id":[]}"#,
            r#"{"platform":{}}"#,
            r#"{"accepts":["1"]}"#,
            r#"{"accepts":1}"#,
            r#"{"accepts":[2147483648]}"#,
            r#"{"accepts":[1.5]}"#,
            r#"{"mid":1} x"#,
            r#"{"mid":1}{}"#,
            r#"{"mid":1"#,
            r#"{"mid":1,}"#,
            "nullx",
        ] {
            assert!(Token::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Token::parse(b"{\"key\":\"\xff\"}").is_err());
        assert!(Token::parse("[".repeat(4000).as_bytes()).is_err());
    }

    #[test]
    fn a_deeply_nested_unknown_field_is_ignored_without_recursion() {
        let deep = format!("{{\"x\":{}{},\"mid\":1}}", "[".repeat(2000), "]".repeat(2000));
        assert_eq!(Token::parse(deep.as_bytes()).unwrap().mid, 1);
    }
}
