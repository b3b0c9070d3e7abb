//! Strictness of configuration: every slip is an error that says where it is and what was meant.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use orrery_daemon::config::{ConfigError, Layers, keys_of};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    insecure: bool,
    comet: Comet,
    logic: Logic,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Comet {
    tcp_listen: SocketAddr,
    heartbeat_ms: u64,
    workers: Option<u16>,
    advertised: Vec<String>,
    slow: Slow,
    outbox: Outbox,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Outbox {
    frames_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Slow {
    DropOldest,
    Close,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Logic {
    ratio: f64,
    weights: BTreeMap<String, u32>,
    edge_listen: String,
}

impl Default for Comet {
    fn default() -> Self {
        Self {
            tcp_listen: SocketAddr::from(([127, 0, 0, 1], 3101)),
            heartbeat_ms: 480_000,
            workers: None,
            advertised: Vec::new(),
            slow: Slow::DropOldest,
            outbox: Outbox { frames_max: 256 },
        }
    }
}

/// Names and values of variables.
type Environment<'a> = &'a [(&'a str, &'a str)];

struct File {
    _folder: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orrery.toml");
    std::fs::write(&path, text).unwrap();
    File { _folder: folder, path }
}

fn load(text: &str, environment: Environment<'_>) -> Result<Config, String> {
    let file = file(text);
    let variables = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let loaded = Layers::new().file(&file.path).environment(variables).load();
    loaded.map_err(|error| error.to_string().replace(file.path.to_str().unwrap(), "FILE"))
}

#[test]
fn each_slip_is_named_with_its_place() {
    let cases: &[(&str, Environment<'_>, &str)] = &[
        // A key that nothing knows, in every depth.
        (
            "[comet]\n\nhearbeat_ms = 1",
            &[],
            "FILE:3: unknown key comet.hearbeat_ms, did you mean comet.heartbeat_ms?",
        ),
        ("[comit]\nworkers = 1", &[], "FILE:1: unknown key comit, did you mean comet?"),
        ("insecur = true", &[], "FILE:1: unknown key insecur, did you mean insecure?"),
        (
            "[comet.outbox]\nframe_max = 1",
            &[],
            "FILE:2: unknown key comet.outbox.frame_max, did you mean comet.outbox.frames_max?",
        ),
        ("comet.outbox.frames_max = 3\ncomet.outbox.x = 3", &[], {
            "FILE:2: unknown key comet.outbox.x, did you mean comet.outbox.frames_max?"
        }),
        // The right name in the wrong section.
        ("heartbeat_ms = 1", &[], {
            "FILE:1: unknown key heartbeat_ms, did you mean comet.heartbeat_ms?"
        }),
        ("[logic]\ntcp_listen = '127.0.0.1:1'", &[], {
            "FILE:2: unknown key logic.tcp_listen, did you mean comet.tcp_listen?"
        }),
        // Values of the wrong type; texts are not repeated, they may be secrets.
        ("[comet]\nheartbeat_ms = 'soon'", &[], "FILE:2: comet.heartbeat_ms: a text is not u64"),
        ("[comet]\nheartbeat_ms = -1", &[], {
            "FILE:2: comet.heartbeat_ms: integer `-1` is not u64"
        }),
        ("[comet]\nworkers = 65536", &[], "FILE:2: comet.workers: integer `65536` is not u16"),
        ("[logic]\nedge_listen = 3118", &[], {
            "FILE:2: logic.edge_listen: integer `3118` is not a string"
        }),
        ("[comet]\nadvertised = ['a',\n 2]", &[], {
            "FILE:3: comet.advertised.1: integer `2` is not a string"
        }),
        ("comet = 3", &[], "FILE:1: comet: a section with keys is expected here"),
        ("[comet.heartbeat_ms]\nx = 1", &[], "FILE:1: comet.heartbeat_ms: a section is not u64"),
        ("[comet]\ntcp_listen = 'here'", &[], "FILE:2: comet.tcp_listen: invalid socket address"),
        ("[comet]\nslow = 'wait'", &[], {
            "FILE:2: comet.slow: unknown variant `wait`, expected `drop_oldest` or `close`"
        }),
        // Not TOML.
        ("[comet]\nworkers = = 1", &[], "FILE:2: "),
        ("[comet]\nworkers = 1\nworkers = 2", &[], "FILE:3: duplicate key"),
        // The environment.
        ("", &[("ORRERY_COMET__HEARBEAT_MS", "1")], {
            "environment variable ORRERY_COMET__HEARBEAT_MS: unknown key comet.hearbeat_ms, \
             did you mean comet.heartbeat_ms?"
        }),
        ("", &[("ORRERY_COMET__HEARTBEAT_MS", "soon")], {
            "environment variable ORRERY_COMET__HEARTBEAT_MS: comet.heartbeat_ms: a text is not u64"
        }),
        ("", &[("ORRERY_INSECURE", "yes")], {
            "environment variable ORRERY_INSECURE: insecure: a text is not true or false"
        }),
        ("", &[("ORRERY_COMET__", "1")], {
            "environment variable ORRERY_COMET__: unknown key comet."
        }),
    ];
    for (text, environment, expected) in cases {
        let error = load(text, environment).expect_err(text);
        assert!(
            error.starts_with(expected),
            "{text:?} {environment:?}\n gave {error}\n not {expected}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn later_layers_win_key_by_key() {
    let file = file(
        "insecure = true\n[comet]\nheartbeat_ms = 1\nworkers = 2\nadvertised = ['a']\n\
         slow = 'close'\n[logic.weights]\nbig = 3\n",
    );
    let environment = [
        ("ORRERY_COMET__WORKERS", "5"),
        ("ORRERY_COMET__ADVERTISED", "one:1, two:2,"),
        ("ORRERY_COMET__OUTBOX__FRAMES_MAX", "9"),
        ("ORRERY_INSECURE", "false"),
        ("ORRERY_LOGIC__RATIO", "0.5"),
        ("ORRERY_LOGIC__WEIGHTS__SMALL", "1"),
        // Made by an orchestrator for a service called orrery-comet, and the log filter: not ours.
        ("ORRERY_COMET_SERVICE_HOST", "10.0.0.1"),
        ("ORRERY_COMET", "tcp"),
        ("ORRERY_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded: Config = Layers::new()
        .file(&file.path)
        .environment(environment)
        .flag("--listen", "comet.tcp_listen", "127.0.0.1:9")
        .flag("--set", "comet.workers", "6")
        .load()
        .unwrap();
    let expected = Config {
        insecure: false,
        comet: Comet {
            tcp_listen: "127.0.0.1:9".parse().unwrap(),
            heartbeat_ms: 1,
            workers: Some(6),
            advertised: vec!["one:1".to_owned(), "two:2".to_owned()],
            slow: Slow::Close,
            outbox: Outbox { frames_max: 9 },
        },
        logic: Logic {
            ratio: 0.5,
            weights: BTreeMap::from([("big".to_owned(), 3), ("small".to_owned(), 1)]),
            edge_listen: String::new(),
        },
    };
    assert_eq!(loaded, expected);
}

#[test]
fn other_defaults_stay_where_no_layer_speaks() {
    let mut dev = Config::default();
    dev.comet.heartbeat_ms = 7;
    dev.comet.workers = Some(1);
    let layers = Layers::new().flag("--set", "comet.workers", "2");
    let loaded = layers.load_over(&dev).unwrap();
    assert_eq!((loaded.comet.heartbeat_ms, loaded.comet.workers), (7, Some(2)));
}

#[test]
fn unknown_flag_key_is_named() {
    let error = Layers::new().flag("--set", "comet.worker", "2").load::<Config>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "flag --set: unknown key comet.worker, did you mean comet.workers?"
    );
}

#[test]
fn missing_file_is_named() {
    let error = Layers::new().file("/nowhere/orrery.toml").load::<Config>().unwrap_err();
    assert!(
        matches!(&error, ConfigError::Read { path, .. } if path == Path::new("/nowhere/orrery.toml"))
    );
    assert!(error.to_string().contains("/nowhere/orrery.toml"), "{error}");
}

#[test]
fn hostile_files_are_refused_not_crashed_on() {
    let deep = format!("x = {}{}", "[".repeat(5_000), "]".repeat(5_000));
    let big = "#".repeat(2 << 20);
    let keys = (0..40).map(|n| format!("k{n}")).collect::<Vec<_>>().join(".") + " = 1";
    for text in
        [deep.as_str(), &big, &keys, "\u{0}", "[", "= = =", "a = 99999999999999999999999999"]
    {
        assert!(load(text, &[]).is_err());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("binary.toml");
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(Layers::new().file(path).load::<Config>(), Err(ConfigError::Read { .. })));
}

#[test]
fn keys_are_listed_with_their_sections() {
    let keys = keys_of(&Config::default()).unwrap();
    assert!(keys.contains(&"insecure".to_owned()));
    assert!(keys.contains(&"comet.outbox.frames_max".to_owned()));
    assert!(!keys.contains(&"comet.workers".to_owned()), "an absent value has no key");
}
