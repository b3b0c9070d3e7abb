//! `orrery config example`: every key with its default and what it means.

use super::Role;

const PROCESS: &str = include_str!("example/process.toml");
const ROUTER: &str = include_str!("example/router.toml");
const LOGIC: &str = include_str!("example/logic.toml");
const COMET: &str = include_str!("example/comet.toml");

/// The example for a role, or for all of them.
pub(super) fn text(role: Option<Role>) -> String {
    let sections = match role {
        Some(Role::Router) => vec![ROUTER],
        Some(Role::Logic) => vec![LOGIC],
        Some(Role::Comet) => vec![COMET],
        None => vec![ROUTER, LOGIC, COMET],
    };
    [vec![PROCESS], sections].concat().concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orrery_daemon::config::{Layers, keys_of};

    use super::*;
    use crate::config::Config;
    use crate::config::check::check;

    fn keys(text: &str) -> BTreeSet<String> {
        keys_of(&text.parse::<toml::Table>().unwrap()).unwrap().into_iter().collect()
    }

    #[test]
    fn example_passes_its_own_check() {
        let folder = tempfile::tempdir().unwrap();
        for role in [None, Some(Role::Router), Some(Role::Logic), Some(Role::Comet)] {
            let path = folder.path().join("example.toml");
            std::fs::write(&path, text(role)).unwrap();
            check(&path, role).unwrap();
        }
    }

    #[test]
    fn example_says_every_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        std::fs::write(&path, text(None)).unwrap();
        let loaded: Config = Layers::new().file(path).load().unwrap();
        let value = |config: &Config| toml::Value::try_from(config).unwrap();
        assert_eq!(
            value(&loaded),
            value(&Config::default()),
            "an example differs from its default"
        );
        let defaults: BTreeSet<String> = keys_of(&Config::default()).unwrap().into_iter().collect();
        let shown = keys(&text(None));
        let differing: Vec<_> = shown.symmetric_difference(&defaults).collect();
        assert!(differing.is_empty(), "only in the example or only in the defaults: {differing:?}");
    }

    #[test]
    fn keys_without_a_default_are_shown_and_can_be_taken() {
        let mut shown = text(None);
        for key in ["shards", "registry_advertise", "peers_advertise", "delivery_advertise"] {
            assert!(shown.contains(&format!("\n# {key} = ")), "{key} is not shown");
            shown = shown.replace(&format!("# {key} = "), &format!("{key} = "));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        std::fs::write(&path, shown).unwrap();
        let Config { router, comet, .. } = Layers::new().file(path).load().unwrap();
        assert_eq!(router.shards, Some(4));
        assert_eq!(router.registry_advertise.as_deref(), Some("router-1.internal:3121"));
        assert_eq!(router.peers_advertise.as_deref(), Some("router-1.internal:3120"));
        assert_eq!(comet.delivery_advertise.as_deref(), Some("comet-1.internal:3109"));
    }

    #[test]
    fn every_key_is_explained() {
        // A key follows a comment, or a key that does: a few share one.
        let text = text(None);
        let mut explained = false;
        for line in text.lines() {
            match line {
                "" => explained = false,
                line if line.starts_with("# ") || line == "#" => explained = true,
                line if line.starts_with('[') => explained = false,
                line => assert!(explained, "{line} is not explained"),
            }
        }
    }
}
