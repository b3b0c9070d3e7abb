//! Seeded: the bug that the simulated product is given, in a build that has them.

use anyhow::bail;
use clap::Args;
use seeded_bugs::Bug;

/// Which bug.
#[derive(Debug, Clone, Default, Args)]
pub struct Seeded {
    /// Gives the product a bug (see `jepsen mutate --list`).
    #[cfg(feature = "seeded-bugs")]
    #[arg(long, value_parser = named)]
    bug: Option<Bug>,
}

impl Seeded {
    #[cfg(feature = "seeded-bugs")]
    fn bug(&self) -> Option<Bug> {
        self.bug
    }

    #[cfg(not(feature = "seeded-bugs"))]
    fn bug(&self) -> Option<Bug> {
        None
    }

    /// Turns it on, before anything of the product runs.
    ///
    /// # Errors
    /// When another one is on already.
    pub fn turn_on(&self) -> anyhow::Result<()> {
        match self.bug() {
            Some(bug) if !turn_on(bug) => bail!("another bug is on than {}", bug.name()),
            _ => Ok(()),
        }
    }

    /// How another process of this build is told of it.
    pub fn arguments(&self) -> Vec<String> {
        let bug = self.bug().map(|bug| ["--bug".to_owned(), bug.name().to_owned()]);
        bug.into_iter().flatten().collect()
    }
}

#[cfg(feature = "seeded-bugs")]
fn turn_on(bug: Bug) -> bool {
    seeded_bugs::turn_on(bug)
}

#[cfg(not(feature = "seeded-bugs"))]
fn turn_on(_bug: Bug) -> bool {
    false
}

/// The bug by its name.
///
/// # Errors
/// When there is none.
pub fn named(name: &str) -> Result<Bug, String> {
    Bug::named(name).ok_or_else(|| format!("there is no bug {name:?}; see `jepsen mutate --list`"))
}
