//! Ids in JSON: checked texts, sets of them, and bounded names.

use std::collections::BTreeSet;
use std::fmt;

use orrery_model::Id;
use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// An id in JSON.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Checked(Id);

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Id::new(text).map(Self).map_err(D::Error::custom)
    }
}

/// For `serde(with)`: an id that may be absent.
pub(super) mod optional {
    use super::*;

    pub(in crate::json) fn serialize<S: Serializer>(
        id: &Option<Id>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        id.as_ref().map(Id::as_str).serialize(serializer)
    }

    pub(in crate::json) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Id>, D::Error> {
        Ok(Option::<Checked>::deserialize(deserializer)?.map(|checked| checked.0))
    }
}

/// For `serde(with)`: rooms, as many as a connection may have.
pub(super) mod rooms {
    use super::*;

    pub(in crate::json) fn serialize<S: Serializer>(
        rooms: &BTreeSet<Id>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rooms.iter().map(Id::as_str))
    }

    pub(in crate::json) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<Id>, D::Error> {
        deserializer.deserialize_seq(RoomsVisitor)
    }

    struct RoomsVisitor;

    impl<'de> Visitor<'de> for RoomsVisitor {
        type Value = BTreeSet<Id>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {ROOMS_PER_CONNECTION_MAX} rooms")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BTreeSet<Id>, A::Error> {
            let mut rooms = BTreeSet::new();
            while let Some(Checked(room)) = list.next_element()? {
                rooms.insert(room);
                if rooms.len() > ROOMS_PER_CONNECTION_MAX {
                    return Err(A::Error::invalid_length(rooms.len(), &self));
                }
            }
            Ok(rooms)
        }
    }
}
