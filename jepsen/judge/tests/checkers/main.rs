//! Every checker finds what it is for: a good history, and for each way to be bad a smallest bad one.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]

mod binds_survive;
mod conservation;
mod crashes;
mod digests;
mod end_to_end;
mod leases;
mod linear_by_index;
mod linear_by_search;
mod membership;
mod presence;
mod recovery;
mod rooms;
mod script;
mod seq_rises;
mod sessions;
mod table;
mod validity;
