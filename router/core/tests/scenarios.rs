//! Runs the scenario scripts under `tests/scripts`: commands above, the answers recorded below.
//!
//! `ORRERY_RECORD=1` writes the present answers into the scripts instead of comparing them; read the
//! difference before keeping it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

mod script;

use script::{control, lease, registry};

#[test]
fn registry_scripts() {
    script::run_folder("registry", registry::Stage::default);
}

#[test]
fn control_scripts() {
    script::run_folder("control", control::Stage::default);
}

#[test]
fn lease_scripts() {
    script::run_folder("lease", lease::Stage::default);
}
