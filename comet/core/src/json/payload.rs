//! Payload: a message's body in JSON, as text or, where it is none, as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The two fields a body can travel in; exactly one of them is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The body, where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The body in standard base64 with padding, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

impl Payload {
    /// The form that fits a body.
    pub fn of(body: &[u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => Self { data: Some(text.to_owned()), data_base64: None },
            Err(_) => Self { data: None, data_base64: Some(STANDARD.encode(body)) },
        }
    }

    /// The body.
    ///
    /// # Errors
    /// What is wrong with the fields, in words.
    pub fn body(self) -> Result<Bytes, &'static str> {
        match (self.data, self.data_base64) {
            (Some(text), None) => Ok(text.into()),
            (None, Some(text)) => {
                STANDARD.decode(text).map(Bytes::from).map_err(|_| "`data_base64` is not base64")
            }
            (Some(_), Some(_)) => Err("`data` and `data_base64` exclude each other"),
            (None, None) => Err("missing field `data` or `data_base64`"),
        }
    }
}
