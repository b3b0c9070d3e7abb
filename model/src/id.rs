//! Ids: the checked text ids and the numbers that name things in a cluster.

use std::fmt;
use std::sync::Arc;

use crate::limits::ID_BYTES_MAX;

/// Why a text was refused as an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An id has at least one byte.
    #[error("an id cannot be empty")]
    Empty,
    /// An id has at most [`ID_BYTES_MAX`] bytes.
    #[error("an id of {bytes} bytes is longer than {ID_BYTES_MAX}")]
    TooLong {
        /// Length of the refused text in bytes.
        bytes: usize,
    },
}

/// An opaque id: 1 to [`ID_BYTES_MAX`] bytes of UTF-8, cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Arc<str>);

impl Id {
    /// Checks and takes a text.
    ///
    /// # Errors
    /// [`IdError`] when the text is empty or too long; trying again cannot help.
    pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
        let text = text.as_ref();
        match text.len() {
            0 => Err(IdError::Empty),
            bytes if bytes > ID_BYTES_MAX => Err(IdError::TooLong { bytes }),
            _ => Ok(Self(text.into())),
        }
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Id {
    type Error = IdError;

    fn try_from(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A comet's configured id (default: host name and port).
pub type CometId = Id;

/// Declares a number type that is only ever compared, shown and stepped.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number after this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which 2^64 steps of a microsecond each put out of reach.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a counter is never exhausted"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number the router gives a connection when it is bound: per address strictly increasing,
    /// never reused, gaps allowed. (address, seq) names a connection cluster-wide.
    Seq(u64)
);
number!(
    /// One life of a comet in the cluster, given by the control shard; larger each time.
    Incarnation(u64)
);
number!(
    /// A comet's own number for a connection, never used twice in an incarnation.
    Conn(u64)
);
number!(
    /// A comet's own count of changes to one thing (a room's listing, a connection's rooms). What is
    /// not newer than what is held is ignored.
    Version(u64)
);
number!(
    /// One Raft group that owns a part of the addresses. The control shard is [`ShardId::CONTROL`].
    ShardId(u32)
);
number!(
    /// A process of the router cluster. Never reused, not even after its disk is lost.
    NodeId(u64)
);

impl ShardId {
    /// The shard that holds the cluster itself; data shards are numbered from 1.
    pub const CONTROL: Self = Self(0);
}

/// A comet in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CometRef {
    /// Which comet.
    pub id: CometId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

impl fmt::Display for CometRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.id, self.incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_128_bytes() {
        assert_eq!(Id::new(""), Err(IdError::Empty));
        assert!(Id::new("a".repeat(128)).is_ok());
        assert_eq!(Id::new("a".repeat(129)), Err(IdError::TooLong { bytes: 129 }));
        assert_eq!(Id::new("é".repeat(65)), Err(IdError::TooLong { bytes: 130 }));
    }
}
