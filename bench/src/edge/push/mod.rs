//! Push: the backend's side of a load.

pub mod api;
pub mod goim;
pub mod metronome;
pub mod pusher;
