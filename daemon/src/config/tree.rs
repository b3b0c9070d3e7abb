//! The tree of a configuration's values, each knowing where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::error::ConfigError;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the program.
    Default,
    /// In a file.
    File {
        /// Which one.
        path: Arc<PathBuf>,
        /// Line, from 1.
        line: usize,
    },
    /// In the environment.
    Environment {
        /// The variable's name.
        name: String,
    },
    /// On the command line.
    Flag {
        /// The flag's name.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("defaults"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Text of a flag or variable, which has no types: what it is depends on who reads it.
    Loose(String),
}

/// The tree of a value in the program.
pub(super) fn of<T: Serialize>(value: &T) -> Result<Node, ConfigError> {
    let value = toml::Value::try_from(value)
        .map_err(|error| ConfigError::Defaults { detail: error.to_string() })?;
    Ok(from_toml(value))
}

fn from_toml(value: toml::Value) -> Node {
    let value = match value {
        toml::Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, value)| (key, from_toml(value))).collect())
        }
        toml::Value::Array(array) => Value::Array(array.into_iter().map(from_toml).collect()),
        toml::Value::Boolean(value) => Value::Bool(value),
        toml::Value::Integer(value) => Value::Integer(value.into()),
        toml::Value::Float(value) => Value::Float(value),
        toml::Value::String(value) => Value::Text(value),
        toml::Value::Datetime(value) => Value::Text(value.to_string()),
    };
    Node { origin: Origin::Default, value }
}

impl Node {
    /// An empty table.
    pub(super) fn empty(origin: Origin) -> Self {
        Self { origin, value: Value::Table(BTreeMap::new()) }
    }

    /// A value under a path of keys.
    pub(super) fn nested(path: &[String], value: Value, origin: &Origin) -> Self {
        let leaf = Self { origin: origin.clone(), value };
        path.iter().rev().fold(leaf, |inner, key| Self {
            origin: origin.clone(),
            value: Value::Table(BTreeMap::from([(key.clone(), inner)])),
        })
    }

    /// Lays another tree over this one: tables are merged, everything else is replaced.
    pub(super) fn overlay(&mut self, upper: Self) {
        match (&mut self.value, upper) {
            (Value::Table(lower), Self { value: Value::Table(upper), origin }) => {
                self.origin = origin;
                for (key, node) in upper {
                    match lower.get_mut(&key) {
                        Some(below) => below.overlay(node),
                        None => drop(lower.insert(key, node)),
                    }
                }
            }
            (_, upper) => *self = upper,
        }
    }

    /// The value directly under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Table(table) => table.get(key),
            _ => None,
        }
    }

    /// Whether it holds keys of its own.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// The paths of all values that are not tables themselves.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        self.collect_keys("", &mut keys);
        keys
    }

    fn collect_keys(&self, path: &str, keys: &mut Vec<String>) {
        match &self.value {
            Value::Table(table) if !table.is_empty() || path.is_empty() => {
                for (key, node) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    node.collect_keys(&path, keys);
                }
            }
            _ => keys.push(path.to_owned()),
        }
    }
}
