//! Replay: a target looks at files, for example at what cargo-fuzz has left of a finding.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::Check;

/// Has a target look at the files that the command line names.
///
/// # Errors
/// Where none is named, or one cannot be read.
///
/// # Panics
/// Where the target does.
pub fn replay(check: Check) -> anyhow::Result<()> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    ensure!(!files.is_empty(), "name the files to look at");
    for file in files {
        check(&fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(())
}
