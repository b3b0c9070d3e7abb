//! `orrery ctl backup …`: a cluster copied into a folder, and a new cluster made from it.
//!
//! The folder holds one file for each shard, as it was at one index of its log, and a manifest that is
//! written last: a folder without one is no backup. Different shards are of different moments. Beside them
//! stands which clusters were made from it.

mod create;
mod file;
mod manifest;
mod restore;
mod restores;
mod shard;
mod verify;

pub(super) use create::create;
pub(super) use restore::restore;
pub(super) use restores::GENERATIONS_MAX;
pub(super) use verify::verify;
