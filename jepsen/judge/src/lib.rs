//! Judge: histories of what a cluster did, and the verdicts on them.
//!
//! A run writes a [`history`]; [`checker::ALL`] judges it, each property by itself; [`shrink`] finds the
//! smallest part of it that still fails. Nothing here has a clock, a thread or a random number, and
//! nothing is shared with the code that is judged: the registry's rules are told anew in [`registry`].
//!
//! ```
//! use orrery_judge::{checker, history::{self, History}, settings::Settings};
//!
//! let events = history::read(&b""[..])?;
//! let history = History::new(&events)?;
//! for judged in checker::judge(&history, &Settings::default(), &["seq-rises"]) {
//!     println!("{}: {:?}", judged.property.name, judged.verdict);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checker;
mod facts;
pub mod history;
pub mod limits;
mod quick;
pub mod registry;
pub mod settings;
pub mod shrink;
pub mod verdict;
pub mod wgl;
