//! Sections: the parts of a page, from what a person wants first to what they may look up.

pub(crate) mod availability;
pub(crate) mod counters;
mod entries;
pub(crate) mod events;
pub(crate) mod faults;
pub(crate) mod head;
mod lanes;
pub(crate) mod latency;
pub(crate) mod log;
pub(crate) mod shrunk;
pub(crate) mod timeline;
pub(crate) mod verdicts;
pub(crate) mod violations;
