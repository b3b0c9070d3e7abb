//! A TOML file as a tree that knows its lines.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::tree::{Node, Origin, Value};
use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_FILE_BYTES_MAX};

/// Reads and parses a file.
pub(super) fn read(path: &Path) -> Result<Node, ConfigError> {
    let text =
        read_text(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(CONFIG_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_FILE_BYTES_MAX {
        let said = format!("larger than {CONFIG_FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, said));
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Node, ConfigError> {
    let lines = Lines { path: Arc::new(path.to_owned()), text };
    match DeTable::parse(text) {
        Ok(table) => lines.table(table.get_ref(), lines.origin(0..0), 0),
        Err(error) => Err(lines.syntax(error.span().unwrap_or(0..0), error.message().to_owned())),
    }
}

struct Lines<'a> {
    path: Arc<PathBuf>,
    text: &'a str,
}

impl Lines<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File { path: self.path.clone(), line: self.line(&span) }
    }

    fn syntax(&self, span: Range<usize>, detail: String) -> ConfigError {
        ConfigError::Syntax { path: self.path.as_ref().clone(), line: self.line(&span), detail }
    }

    fn table(
        &self,
        table: &DeTable<'_>,
        origin: Origin,
        depth: usize,
    ) -> Result<Node, ConfigError> {
        let entries = table.iter().map(|(key, value)| {
            // The key's own line: a table's span may begin at a header elsewhere.
            let origin = self.origin(key.span());
            let node = self.value(value.get_ref(), origin, value.span(), depth + 1)?;
            Ok((key.get_ref().to_string(), node))
        });
        Ok(Node { origin, value: Value::Table(entries.collect::<Result<_, _>>()?) })
    }

    fn value(
        &self,
        value: &DeValue<'_>,
        origin: Origin,
        span: Range<usize>,
        depth: usize,
    ) -> Result<Node, ConfigError> {
        if depth > CONFIG_DEPTH_MAX {
            return Err(self.syntax(span, format!("nested deeper than {CONFIG_DEPTH_MAX}")));
        }
        let value = match value {
            DeValue::Table(table) => return self.table(table, origin, depth),
            DeValue::Array(array) => {
                let items = array.iter().map(|item| {
                    self.value(item.get_ref(), self.origin(item.span()), item.span(), depth + 1)
                });
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Bool(*value),
            DeValue::Integer(value) => i128::from_str_radix(value.as_str(), value.radix())
                .map(Value::Integer)
                .map_err(|error| self.syntax(span, error.to_string()))?,
            DeValue::Float(value) => value
                .as_str()
                .parse()
                .map(Value::Float)
                .map_err(|_| self.syntax(span, "not a number".to_owned()))?,
            DeValue::Datetime(value) => Value::Text(value.to_string()),
        };
        Ok(Node { origin, value })
    }
}
