//! Drain: sends the comet's devices elsewhere, at a pace, and takes no others meanwhile.
//!
//! Whoever wants it says so by a [`Wish`]; one task carries out the newest. The wish outlives the devices: a comet that
//! is drained stays up, empty, until it is stopped or the wish is taken back.

mod elsewhere;
mod progress;
mod schedule;
mod sending;
mod wish;

pub(crate) use self::elsewhere::{Elsewhere, Hint};
pub(crate) use self::progress::Progress;
pub(crate) use self::sending::run;
pub(crate) use self::wish::{Drain, Stopping, Wish};
