//! Build: the harness itself once more, with bugs that can be turned on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// What cargo says of something that it has built.
#[derive(Deserialize)]
struct Built {
    #[serde(default)]
    executable: Option<PathBuf>,
}

/// Has cargo build it; where it is, and how long that took.
///
/// # Errors
/// When there is no source, no cargo, or it does not compile.
#[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
pub(super) fn build(profile: &str) -> anyhow::Result<(PathBuf, Duration)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !source.join("Cargo.toml").exists() {
        bail!("the harness's source is not at {} any more; use --binary", source.display());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let began = Instant::now();
    let output = Command::new(&cargo)
        .args(["build", "--locked", "--package", "jepsen", "--features", "seeded-bugs"])
        .args(["--profile", profile, "--message-format", "json-render-diagnostics"])
        .current_dir(source)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", cargo.display()))?;
    if !output.status.success() {
        bail!("the harness with bugs does not compile: {}", output.status);
    }
    let lines = String::from_utf8_lossy(&output.stdout);
    let executable = |line: &str| serde_json::from_str::<Built>(line).ok()?.executable;
    let binary = lines.lines().filter_map(executable).next_back();
    Ok((binary.context("cargo named no binary")?, began.elapsed()))
}
