//! Report: a run of the harness as one HTML page that a person wants to read.
//!
//! [`Page`] draws it from what was known of the run before ([`RunFacts`]), from its history, from the verdicts,
//! and from what the routers kept of their logs ([`Entries`]). Nothing is fetched when it is opened, everything in it is escaped, and a history of any length
//! gives a page of bounded size: what happened often is counted in buckets of time, what is told one by one
//! has a limit (see `limits`).

mod availability;
mod axis;
mod breach;
mod calls;
mod chart;
mod entries;
mod facts;
mod faults;
mod figures;
mod limits;
mod markup;
mod narrow;
mod page;
mod properties;
mod section;
mod survey;
mod words;

pub use entries::{Entries, Entry, Log, Unread};
pub use facts::{RunFacts, Shrunk};
pub use faults::in_words;
pub use figures::count;
pub use limits::ENTRIES_AROUND;
pub use page::Page;
