//! `jepsen check`: judges a history again, or tells it in another form.

use std::fs::File;
use std::io::{BufReader, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use judge::checker;
use judge::history::{self, Event, History, Kind};

use super::say;
use crate::run_report;
use crate::tally::count;
use crate::verdict::{self, Ending};

/// What to judge.
#[derive(Debug, Args)]
pub struct Check {
    /// A history of JSON lines; what was known of the run is read from the file beside it, if there is one.
    history: PathBuf,
    /// Only this property, about which the history must say something; may be given more than once.
    #[arg(long = "property", value_name = "NAME")]
    properties: Vec<String>,
}

/// Forms that other people's checkers read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// EDN, for Knossos and Elle.
    Edn,
    /// porcupine's operations.
    Porcupine,
}

/// What to tell in another form.
#[derive(Debug, Args)]
pub struct Export {
    /// A history of JSON lines.
    history: PathBuf,
    /// Which form.
    #[arg(long, required_unless_present = "edn")]
    form: Option<Form>,
    /// The same as `--form edn`.
    #[arg(long, conflicts_with = "form")]
    edn: bool,
}

/// As much of a history as can be read.
pub(super) struct Readable {
    /// The events up to where it ends, or is no history any more.
    pub(super) events: Vec<Event>,
    /// Why it is not whole, which is also said.
    pub(super) cut: Option<anyhow::Error>,
}

/// Reads a history as far as it is one, and says how far that is if it is not whole.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn readable(path: &Path) -> anyhow::Result<Readable> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let (events, error) = history::read_what_is_whole(BufReader::new(file));
    if error.is_some() {
        let ok = events.iter().filter(|event| event.kind == Kind::Ok).count();
        let until = events.last().map_or(0, |last| last.time);
        say(&format!(
            "readable: {} events until {:.3} s, {} operations of which ended ok",
            count(events.len()),
            until as f64 / 1e9,
            count(ok)
        ));
    }
    let named = |error| anyhow::Error::new(error).context(path.display().to_string());
    Ok(Readable { events, cut: error.map(named) })
}

impl Check {
    /// Judges it. Of a history that is not whole, what is readable is judged for people, but whatever that
    /// says, there is no verdict.
    ///
    /// # Errors
    /// When the history cannot be read whole, or a property does not exist.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let unknown = |name: &&String| checker::ALL.iter().all(|known| known.name != **name);
        if let Some(name) = self.properties.iter().find(unknown) {
            let known: Vec<&str> = checker::ALL.iter().map(|known| known.name).collect();
            bail!("no property {name:?}; known are {}", known.join(", "));
        }
        let run = run_report::facts_of(&self.history)?;
        let Readable { events, cut } = readable(&self.history)?;
        let required: Vec<&str> = self.properties.iter().map(String::as_str).collect();
        let mut judged = match verdict::judged(&events, &run.settings, &required) {
            Ok(judged) => judged,
            Err(error) => return Err(error).context("the history is broken"),
        };
        judged.retain(|one| required.is_empty() || required.contains(&one.property.name));
        say(verdict::told(&judged).trim_end());
        if let Some(error) = cut {
            return Err(error);
        }
        let ending = verdict::ending(&events, &judged, &required);
        if ending == Ending::Violated {
            say(&run_report::entries_told(&self.history)?);
        }
        say(ending.word());
        Ok(ending)
    }
}

impl Export {
    /// Writes it to the standard output.
    ///
    /// # Errors
    /// When the history cannot be read, or is none.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let file = File::open(&self.history)
            .with_context(|| format!("open {}", self.history.display()))?;
        let events = history::read(BufReader::new(file))
            .with_context(|| self.history.display().to_string())?;
        // One of the two is given.
        match self.form.unwrap_or(Form::Edn) {
            Form::Edn => history::export_edn(&events, stdout().lock())?,
            Form::Porcupine => {
                let history = History::new(&events)?;
                history::export_porcupine(&history, stdout().lock())?;
            }
        }
        Ok(Ending::Holds)
    }
}
