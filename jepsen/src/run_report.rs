//! Run report: judges a run that has ended and leaves side by side its history, what was known of it, and,
//! where it fails, what the routers kept of their logs and a page for people.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use judge::checker::Judged;
use judge::history::{self, Event};
use report::{Entries, Page, RunFacts};

use crate::entries::{self, Stores};
use crate::tally::count;
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

/// Judges a run and writes what is left of it: its history to `path`, and beside it what was known of it, the
/// entries of its routers' logs around what is violated, and its page where it does not hold, or `always`.
/// Without stores the entries that lie there are those of this run.
///
/// # Errors
/// When a file cannot be written.
pub fn end(
    run: &RunFacts,
    events: &[Event],
    required: &[&str],
    path: &Path,
    always: bool,
    stores: Option<&Stores>,
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
    let page = Page::of(run, events, &judged);
    let entries = match stores {
        Some(stores) => keep(stores, &page, path)?,
        None => entries_of(path)?,
    };
    let page = is_drawn.then(|| {
        let drawn = path.with_extension("html");
        write(&drawn, &page.draw(entries.as_ref())).map(|()| drawn)
    });
    Ok(Ended { ending, told, page: page.transpose()?, judged })
}

/// Writes down what routers kept of their logs around what is violated. Nothing where nothing is, or where it
/// points to no log.
fn keep(stores: &Stores, page: &Page<'_>, history: &Path) -> anyhow::Result<Option<Entries>> {
    let path = entries_path(history);
    remove(&path)?;
    let entries = entries::read(stores, &page.places());
    if entries.is_empty() {
        return Ok(None);
    }
    let file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    entries.write(BufWriter::new(file)).with_context(|| format!("write {}", path.display()))?;
    Ok(Some(entries))
}

/// What routers kept of their logs in the run that left a history; nothing where no such file lies beside it.
///
/// # Errors
/// When what lies there cannot be read.
pub fn entries_of(history: &Path) -> anyhow::Result<Option<Entries>> {
    let path = entries_path(history);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("open {}", path.display()))?,
    };
    let entries = Entries::read(BufReader::new(file));
    entries.map(Some).with_context(|| path.display().to_string())
}

/// Where the entries of a run's logs lie beside its history.
pub fn entries_path(history: &Path) -> PathBuf {
    history.with_extension("entries.jsonl")
}

/// Says where the entries of a run's logs lie, or that there are none.
///
/// # Errors
/// When what lies there cannot be read.
pub fn entries_told(history: &Path) -> anyhow::Result<String> {
    let path = entries_path(history);
    Ok(match entries_of(history)? {
        Some(entries) => {
            format!("log entries: {} ({} of them)", path.display(), count(entries.entries.len()))
        }
        None => "log entries: none lie beside the history".to_owned(),
    })
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
