//! Configuration in layers: defaults, then a TOML file, then the environment, then flags.
//!
//! Strict: a key that nothing knows is an error that names the nearest known one, and a value of the
//! wrong type is an error that names where it was written.
//!
//! A variable `ORRERY_SECTION__KEY` sets `section.key`, lists being separated by commas. Variables
//! without `__` belong to other programs' conventions (orchestrators make such names for services)
//! and are read only where they name a key outside all sections.

mod decode;
mod environment;
mod error;
mod file;
mod tree;

use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::ConfigError;
pub use tree::Origin;
use tree::{Node, Value};

/// Where a configuration is read from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    flags: Vec<Flag>,
}

#[derive(Debug, Clone)]
struct Flag {
    name: String,
    key: String,
    value: String,
}

impl Layers {
    /// Defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a TOML file over the defaults.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Reads `ORRERY_SECTION__KEY` variables over the file; others are ignored.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Reads the environment of this process over the file. A name or value that is not Unicode
    /// cannot be meant for us.
    #[must_use]
    pub fn process_environment(self) -> Self {
        let unicode = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.environment(unicode)
    }

    /// Sets one key over everything else; `name` is how an error calls the flag.
    #[must_use]
    pub fn flag(
        mut self,
        name: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.flags.push(Flag { name: name.into(), key: key.into(), value: value.into() });
        self
    }

    /// Loads a configuration over the defaults of its type.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and line, variable or flag, and key. Trying again cannot help.
    pub fn load<T: Serialize + DeserializeOwned + Default>(&self) -> Result<T, ConfigError> {
        self.load_over(&T::default())
    }

    /// Loads a configuration over the given defaults.
    ///
    /// # Errors
    /// As [`Layers::load`].
    pub fn load_over<T: Serialize + DeserializeOwned>(
        &self,
        defaults: &T,
    ) -> Result<T, ConfigError> {
        let defaults = tree::of(defaults)?;
        let known = defaults.keys();
        let mut root = defaults.clone();
        if let Some(path) = &self.file {
            root.overlay(file::read(path)?);
        }
        root.overlay(environment::read(&self.environment, &defaults)?);
        for flag in &self.flags {
            let origin = Origin::Flag { name: flag.name.clone() };
            let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
            root.overlay(Node::nested(&path, Value::Loose(flag.value.clone()), &origin));
        }
        decode::decode(root).map_err(|fault| fault.explain(&known))
    }
}

/// All keys of a configuration that have a value, in order, as `section.key`.
///
/// # Errors
/// When the value does not fit TOML (a number above 2^63).
pub fn keys_of<T: Serialize>(value: &T) -> Result<Vec<String>, ConfigError> {
    Ok(tree::of(value)?.keys())
}
