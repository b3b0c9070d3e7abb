//! Reads a tree into a type, keeping for each error the key and where it was written.

use std::collections::btree_map;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::ConfigError;
use super::tree::{Node, Origin, Value};

pub(super) fn decode<T: DeserializeOwned>(root: Node) -> Result<T, Fault> {
    T::deserialize(root)
}

/// What is wrong, and at which key.
#[derive(Debug)]
pub(super) struct Fault {
    /// Innermost key first: it is filled while the error climbs out.
    path: Vec<String>,
    origin: Option<Origin>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unknown(&'static [&'static str]),
    Invalid(String),
}

impl Fault {
    fn within(mut self, key: &str, origin: &Origin) -> Self {
        self.path.push(key.to_owned());
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    /// Words for a person; `known` are the paths of all keys that have a default.
    pub(super) fn explain(mut self, known: &[String]) -> ConfigError {
        self.path.reverse();
        let origin = self.origin.unwrap_or(Origin::Default);
        let key = self.path.join(".");
        match self.kind {
            Kind::Invalid(detail) => ConfigError::Invalid { origin, key, detail },
            Kind::Unknown(siblings) => {
                let nearest = nearest(&self.path, siblings, known);
                ConfigError::Unknown { origin, key, nearest }
            }
        }
    }
}

/// How alike two names must be (0 to 1) to be taken for a slip of the fingers.
const SLIP: f64 = 0.7;

/// The key that was probably meant: a sibling that differs by a slip, or else the very name in another
/// section, or else the sibling that is most alike.
fn nearest(path: &[String], siblings: &[&str], known: &[String]) -> Option<String> {
    let (name, section) = path.split_last()?;
    let alike = |sibling: &str| {
        // Where only its end was left out it is meant before any other.
        let end = sibling.strip_prefix(name.as_str());
        let begun = if end.is_some_and(|end| end.starts_with('_')) { 1.0 } else { 0.0 };
        begun + strsim::normalized_damerau_levenshtein(name, sibling)
    };
    let sibling = siblings.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let elsewhere = known.iter().find(|key| key.rsplit('.').next() == Some(name));
    match (sibling, elsewhere) {
        (Some(sibling), None) => Some(in_section(section, sibling)),
        (Some(sibling), Some(_)) if alike(sibling) >= SLIP => Some(in_section(section, sibling)),
        (_, elsewhere) => elsewhere.cloned(),
    }
}

fn in_section(section: &[String], name: &str) -> String {
    section.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Unknown(_) => f.write_str("unknown key"),
            Kind::Invalid(detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: Vec::new(), origin: None, kind: Kind::Invalid(message.to_string()) }
    }

    fn unknown_field(_field: &str, expected: &'static [&'static str]) -> Self {
        Self { path: Vec::new(), origin: None, kind: Kind::Unknown(expected) }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("{} is not {expected}", found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("{} is not {expected}", found(unexpected)))
    }
}

/// What was found, without its text: a value of the wrong type may be a secret in the wrong place.
fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Str(_) => "a text".to_owned(),
        Unexpected::Map => "a section".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}

impl<'de> Deserializer<'de> for Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(table) => visitor.visit_map(Entries::new(table)),
            Value::Array(items) => visitor.visit_seq(Items { items: items.into_iter(), next: 0 }),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Integer(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (_, Ok(value)) => visitor.visit_u64(value),
                _ => visitor.visit_i128(value),
            },
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(text) | Value::Loose(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Loose(text) => match text.as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                other => Err(de::Error::invalid_value(Unexpected::Str(other), &"true or false")),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Loose(text) => match text.parse::<i128>() {
                Ok(value) => Self { value: Value::Integer(value), ..self }.deserialize_any(visitor),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(text), &visitor)),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Loose(text) => match text.parse() {
                Ok(value) => visitor.visit_f64(value),
                Err(_) => Err(de::Error::invalid_value(Unexpected::Str(text), &visitor)),
            },
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Loose(text) = &self.value else { return self.deserialize_any(visitor) };
        let items: Vec<Self> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Self { origin: self.origin.clone(), value: Value::Loose(item.to_owned()) })
            .collect();
        visitor.visit_seq(Items { items: items.into_iter(), next: 0 })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Table(_) => self.deserialize_any(visitor),
            _ => Err(de::Error::custom("a section with keys is expected here")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.value {
            Value::Text(text) | Value::Loose(text) => {
                visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(text))
            }
            Value::Table(table) => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries::new(table)))
            }
            _ => Err(de::Error::custom("a word is expected here")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map identifier
        ignored_any
    }
}

/// The entries of a table.
struct Entries {
    entries: btree_map::IntoIter<String, Node>,
    current: Option<(String, Node)>,
}

impl Entries {
    fn new(table: btree_map::BTreeMap<String, Node>) -> Self {
        Self { entries: table.into_iter(), current: None }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let name: StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
        let read = seed.deserialize(name).map_err(|fault| fault.within(&key, &node.origin))?;
        self.current = Some((key, node));
        Ok(Some(read))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let (key, node) = self.current.take().expect("serde asks for a key before its value");
        let origin = node.origin.clone();
        seed.deserialize(node).map_err(|fault| fault.within(&key, &origin))
    }
}

/// The items of a list.
struct Items {
    items: std::vec::IntoIter<Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let (index, origin) = (self.next, node.origin.clone());
        self.next += 1;
        let read = seed.deserialize(node);
        read.map(Some).map_err(|fault| fault.within(&index.to_string(), &origin))
    }
}
