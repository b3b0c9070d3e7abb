//! Facts: what is known of a run besides its history.

use judge::settings::Settings;
use serde::{Deserialize, Serialize};

/// What is known of a run besides its history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFacts {
    /// The run by name, like `seed 7` or `leader-pause`.
    pub name: String,
    /// Where the system ran: `simulation` or `processes`.
    pub world: String,
    /// What it was drawn from.
    pub seed: Option<u64>,
    /// The command that runs it again.
    pub replay: String,
    /// What was drawn: names with values, in their order.
    pub drawn: Vec<(String, String)>,
    /// What its checkers were told.
    pub settings: Settings,
    /// What is left where the run was made as small as it goes.
    pub shrunk: Option<Shrunk>,
}

/// A run that was made as small as it goes and still fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shrunk {
    /// The property that is violated all the way.
    pub property: String,
    /// The faults without which it does not fail, in words.
    pub kept: Vec<String>,
    /// How many faults the whole run had.
    pub faults_before: usize,
    /// What else was made smaller, in words.
    pub less: Vec<String>,
    /// How many runs that took.
    pub runs: usize,
}
