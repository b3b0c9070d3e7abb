//! Run report: judges a run that has ended and leaves side by side its history, what was known of it, and,
//! where it fails, a page for people.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use judge::checker::Judged;
use judge::history::{self, Event};
use report::RunFacts;

use crate::verdict::{self, Ending};

/// What a run came to.
#[derive(Debug)]
pub struct Ended {
    /// In a word.
    pub ending: Ending,
    /// For people, a line for each property.
    pub told: String,
    /// What every property says; nothing where the history is broken.
    pub judged: Vec<Judged>,
    /// Where its page is, if it has one.
    pub page: Option<PathBuf>,
}

/// Judges a run and writes what is left of it: its history to `path`, and beside it what was known of it, and
/// its page where it does not hold, or `always`.
///
/// # Errors
/// When a file cannot be written.
pub fn end(
    run: &RunFacts,
    events: &[Event],
    required: &[&str],
    path: &Path,
    always: bool,
) -> anyhow::Result<Ended> {
    let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
    history::write(events, BufWriter::new(file))
        .with_context(|| format!("write {}", path.display()))?;
    write(&facts_path(path), &serde_json::to_string_pretty(run)?)?;
    let (ending, told, judged) = match verdict::judged(events, &run.settings, required) {
        Ok(judged) => (verdict::ending(events, &judged, required), verdict::told(&judged), judged),
        Err(error) => (Ending::Harness, format!("the history is broken: {error}\n"), Vec::new()),
    };
    let is_drawn = always || ending != Ending::Holds;
    // A page of an earlier run would tell of something else.
    remove(&path.with_extension("html"))?;
    let page = is_drawn.then(|| draw(run, events, &judged, path)).transpose()?;
    Ok(Ended { ending, told, judged, page })
}

/// Draws a run's page beside its history.
///
/// # Errors
/// When it cannot be written.
pub fn draw(
    run: &RunFacts,
    events: &[Event],
    judged: &[Judged],
    history: &Path,
) -> anyhow::Result<PathBuf> {
    let path = history.with_extension("html");
    write(&path, &report::page(run, events, judged))?;
    Ok(path)
}

/// What was known of the run that left a history; only its name where nothing lies beside it.
///
/// # Errors
/// When what lies there cannot be read.
pub fn facts_of(history: &Path) -> anyhow::Result<RunFacts> {
    let path = facts_path(history);
    if !path.exists() {
        let name = history.file_name().unwrap_or(history.as_os_str()).to_string_lossy();
        return Ok(RunFacts { name: name.into_owned(), ..RunFacts::default() });
    }
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Where what was known of a run lies beside its history.
pub fn facts_path(history: &Path) -> PathBuf {
    history.with_extension("run.json")
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it is there and stays.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
