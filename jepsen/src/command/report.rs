//! `jepsen report`: draws a run's page from its history.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use judge::checker;
use judge::history::History;
use report::Page;

use super::check::{self, Readable};
use super::say;
use crate::run_report;
use crate::verdict::Ending;

/// What to draw.
#[derive(Debug, Args)]
pub struct Report {
    /// A history of JSON lines; what was known of the run is read from the file beside it, if there is one.
    history: PathBuf,
    /// Where the page goes; beside the history unless said.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Report {
    /// Draws it; of a history that is cut, what is readable.
    ///
    /// # Errors
    /// When the history cannot be read whole, or the page not written.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let mut run = run_report::facts_of(&self.history)?;
        let Readable { events, cut } = check::readable(&self.history)?;
        if cut.is_some() {
            run.name = format!("{}, cut after {} events", run.name, events.len());
        }
        let judged = match History::new(&events) {
            Ok(history) => checker::judge(&history, &run.settings, &[]),
            // The page says why.
            Err(_) => Vec::new(),
        };
        let out = self.out.clone().unwrap_or_else(|| self.history.with_extension("html"));
        let entries = run_report::entries_of(&self.history)?;
        let page = Page::of(&run, &events, &judged);
        std::fs::write(&out, page.draw(entries.as_ref()))
            .with_context(|| format!("write {}", out.display()))?;
        say(&format!("page: {}", out.display()));
        if !page.places().is_empty() {
            say(&run_report::entries_told(&self.history)?);
        }
        match cut {
            Some(error) => Err(error),
            None => Ok(Ending::Holds),
        }
    }
}
