//! The contracts: what they carry, what they refuse, and what is stored in their name.
#![allow(clippy::unwrap_used)]

mod golden;
mod nouns;
mod refused;
mod round_trip;
