//! Environment variables as a tree: `ORRERY_SECTION__KEY` is `section.key`.

use super::error::ConfigError;
use super::tree::{Node, Origin, Value};

const PREFIX: &str = "ORRERY_";
const SEPARATOR: &str = "__";

/// Takes the variables that mean a key of ours. Those with a separator always do, so that a slip in one
/// is found; those without only where there is such a key outside all sections.
pub(super) fn read(variables: &[(String, String)], defaults: &Node) -> Result<Node, ConfigError> {
    let mut root = Node::empty(Origin::Default);
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let path: Vec<String> = rest.split(SEPARATOR).map(str::to_ascii_lowercase).collect();
        let plain = defaults.get(&path[0]).is_some_and(|node| !node.is_table());
        if path.len() == 1 && !plain {
            continue;
        }
        let origin = Origin::Environment { name: name.clone() };
        if path.iter().any(String::is_empty) {
            let key = path.join(".");
            return Err(ConfigError::Unknown { origin, key, nearest: None });
        }
        root.overlay(Node::nested(&path, Value::Loose(value.clone()), &origin));
    }
    Ok(root)
}
