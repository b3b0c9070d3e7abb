//! Each target holds: for what it did not hold for once, and for inputs of its own words, the same in each run.

mod inputs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use orrery_comet_core::limits::HTTP_SIGNS_MAX;
use orrery_fuzz::TARGETS;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Two signs of life with nothing between them. Each is counted by whoever reads them, so each must arrive; the target
/// took one for as good as several for as long as the inbox did, and longer.
const TWO_SIGNS: (&str, &[u8]) = ("http_session", &[0, 0, 0, 4]);

/// One sign of life more than may wait, after the two bytes that choose. It is refused, and the others arrive.
const TOO_MANY_SIGNS: (&str, &[u8]) = ("http_session", &[0; 2 + HTTP_SIGNS_MAX + 1]);

/// What a target did not hold for, or came near to. A finding of cargo-fuzz joins.
const KEPT: [(&str, &[u8]); 2] = [TWO_SIGNS, TOO_MANY_SIGNS];

/// Of what inputs are drawn.
const SEED: u64 = 1;

#[test]
fn each_target_holds_for_what_was_kept_of_it() {
    for (target, bytes) in KEPT {
        let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).expect("there is one");
        check(bytes);
    }
}

#[test]
fn each_target_holds_for_inputs_of_its_own_words() {
    for (name, check) in TARGETS {
        let (cases, inputs) = inputs::of(name);
        let config = Config {
            cases,
            rng_seed: RngSeed::Fixed(SEED),
            failure_persistence: None,
            max_shrink_iters: 500,
            ..Config::default()
        };
        let held = TestRunner::new(config).run(&inputs, |bytes| {
            check(&bytes);
            Ok(())
        });
        held.unwrap_or_else(|failure| panic!("{name}, seed {SEED}: {failure}"));
    }
}

/// The folder of this crate, where tests are run.
fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_target_has_a_program_and_is_named_where_people_look() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let programs = fs::read_dir(folder().join("fuzz_targets")).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    assert_eq!(programs.map(|entry| stem(entry.unwrap().path())).collect::<BTreeSet<_>>(), names);

    let read = |file: &str| fs::read_to_string(folder().join(file)).unwrap();
    let (manifest, readme, justfile) = (read("Cargo.toml"), read("README.md"), read("../justfile"));
    let list = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    assert!(justfile.contains(&format!("({list})")), "{list}");
    for name in names {
        let program = read(&format!("fuzz_targets/{name}.rs"));
        assert!(program.contains(&format!("orrery_fuzz::program!({name});")), "{name}");
        let binary = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&binary), "{name}");
        assert!(readme.contains(&format!("\n| `{name}` | ")), "{name}");
    }
}

#[test]
fn a_program_looks_at_the_files_it_is_given() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, TWO_SIGNS.1).unwrap();
    let looked = |files: &[&Path]| {
        let ended = Command::new(env!("CARGO_BIN_EXE_http_session")).args(files).output().unwrap();
        (ended.status.success(), String::from_utf8(ended.stderr).unwrap())
    };
    assert_eq!(looked(&[file.path()]), (true, String::new()));
    for files in [&[][..], &[file.path(), Path::new("/missing")]] {
        let (held, words) = looked(files);
        assert!(!held && words.contains("name the files") == files.is_empty(), "{words}");
    }
}
