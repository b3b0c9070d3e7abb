//! What can be wrong with a configuration.

use std::io;
use std::path::PathBuf;

use super::tree::Origin;

/// What can be wrong with a configuration. Nothing here passes by itself.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {detail}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// Nothing knows the key.
    #[error("{origin}: unknown key {key}{}", hint(nearest.as_deref()))]
    Unknown {
        /// Where it was written.
        origin: Origin,
        /// The whole path of the key.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// The value of a key has the wrong type, or one that cannot be.
    #[error("{origin}: {key}: {detail}")]
    Invalid {
        /// Where it was written.
        origin: Origin,
        /// The whole path of the key.
        key: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The defaults themselves cannot be written as TOML: a mistake in the program.
    #[error("the defaults are not valid: {detail}")]
    Defaults {
        /// What is wrong with them.
        detail: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(", did you mean {key}?")).unwrap_or_default()
}
