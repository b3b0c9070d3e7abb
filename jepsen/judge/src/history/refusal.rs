//! Refusal: why an operation failed, as one text that is also readable by people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The text of an event's `error`. The registry's own refusals have fixed words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Refusal {
    /// `gone`: the connection was already removed, or its conn is settled.
    Gone,
    /// `fenced` or `fenced below N`: the incarnation has ended.
    Fenced {
        /// The lowest incarnation still allowed, where the answer said so.
        below: Option<u64>,
    },
    /// `superseded`: another instance runs under the comet's id.
    Superseded,
    /// `outranked`: the policy keeps the connections that are there.
    Outranked,
    /// `not bound`: there is no such route to change.
    NotBound,
    /// `stale`: the version was not newer than what is held.
    Stale,
    /// Anything else; says nothing about the registry's state.
    Other(String),
}

impl Refusal {
    /// Whether the registry judged the command by its state. Such a refusal may also meet the repeat of
    /// a command whose first attempt took effect.
    pub fn is_judgement(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        match text.as_str() {
            "gone" => Self::Gone,
            "fenced" => Self::Fenced { below: None },
            "superseded" => Self::Superseded,
            "outranked" => Self::Outranked,
            "not bound" => Self::NotBound,
            "stale" => Self::Stale,
            other => match other.strip_prefix("fenced below ").map(str::parse) {
                Some(Ok(below)) => Self::Fenced { below: Some(below) },
                _ => Self::Other(text),
            },
        }
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> Self {
        refusal.to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("gone"),
            Self::Fenced { below: None } => f.write_str("fenced"),
            Self::Fenced { below: Some(below) } => write!(f, "fenced below {below}"),
            Self::Superseded => f.write_str("superseded"),
            Self::Outranked => f.write_str("outranked"),
            Self::NotBound => f.write_str("not bound"),
            Self::Stale => f.write_str("stale"),
            Self::Other(text) => f.write_str(text),
        }
    }
}
