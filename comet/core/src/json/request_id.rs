//! Request id: what a device names a request by, to know the answer.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use crate::limits::REQUEST_ID_BYTES_MAX;

/// A whole number or a short text, echoed as it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A whole number of 64 bits.
    Number(i64),
    /// A text of at most [`REQUEST_ID_BYTES_MAX`] bytes.
    Text(Box<str>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Unchecked {
    Number(i64),
    Text(Box<str>),
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unchecked::deserialize(deserializer) {
            Ok(Unchecked::Number(number)) => Ok(Self::Number(number)),
            Ok(Unchecked::Text(text)) if text.len() <= REQUEST_ID_BYTES_MAX => Ok(Self::Text(text)),
            Ok(Unchecked::Text(_)) => {
                Err(D::Error::custom(format!("`id` is longer than {REQUEST_ID_BYTES_MAX} bytes")))
            }
            Err(_) => Err(D::Error::custom("`id` is neither a whole number nor a text")),
        }
    }
}
