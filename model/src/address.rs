//! Address: whom a push can be for.

use std::fmt;

use crate::id::Id;
use crate::slot::Slot;

/// What kind of thing an address names. The numbers are hashed, logged and sent: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A user: whom backends address (goim's `mid` is its decimal text).
    User = 1,
    /// goim's connection key.
    Key = 2,
    /// A named set of connections.
    Room = 3,
}

impl Kind {
    /// The kind's word, as written in documents, metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Key => "key",
            Self::Room => "room",
        }
    }
}

/// Whom a push can be for: (namespace, kind, id). No namespace is the default one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Namespace; `None` is the default one, written as the empty text.
    pub namespace: Option<Id>,
    /// What the id names.
    pub kind: Kind,
    /// The id inside namespace and kind.
    pub id: Id,
}

impl Address {
    /// An address in the default namespace.
    pub fn new(kind: Kind, id: Id) -> Self {
        Self { namespace: None, kind, id }
    }

    /// A user in the default namespace.
    pub fn user(id: Id) -> Self {
        Self::new(Kind::User, id)
    }

    /// A key in the default namespace.
    pub fn key(id: Id) -> Self {
        Self::new(Kind::Key, id)
    }

    /// A room in the default namespace.
    pub fn room(id: Id) -> Self {
        Self::new(Kind::Room, id)
    }

    /// The namespace's text, empty for the default one.
    pub fn namespace_text(&self) -> &str {
        self.namespace.as_ref().map_or("", Id::as_str)
    }

    /// The slot this address hashes to.
    pub fn slot(&self) -> Slot {
        Slot::of(self)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}:{}", self.kind.word(), self.id)
    }
}
