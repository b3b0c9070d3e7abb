//! `jepsen check`: judges a history again, or tells it in another form.

use std::fs::File;
use std::io::{BufReader, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use judge::history::{self, History};
use judge::settings::Settings;

use super::say;
use crate::verdict::{self, Ending};

/// What to judge.
#[derive(Debug, Args)]
pub struct Check {
    /// A history of JSON lines.
    history: PathBuf,
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
    #[arg(long)]
    form: Form,
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<history::Event>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    history::read(BufReader::new(file)).with_context(|| path.display().to_string())
}

impl Check {
    /// Judges it.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let events = read(&self.history)?;
        let (ending, report) = verdict::judge(&events, &Settings::default(), &[]);
        say(report.trim_end());
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
        let events = read(&self.history)?;
        match self.form {
            Form::Edn => history::export_edn(&events, stdout().lock())?,
            Form::Porcupine => {
                let history = History::new(&events)?;
                history::export_porcupine(&history, stdout().lock())?;
            }
        }
        Ok(Ending::Holds)
    }
}
