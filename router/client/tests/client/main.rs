//! The client against router nodes that do as they are told: answer, refuse, redirect, fall silent,
//! break. Real sockets, real gRPC, no router.
#![allow(clippy::unwrap_used)]

mod cluster;
mod comet_routes;
mod comets;
mod hedges;
mod leaders;
mod members;
mod metrics;
mod outcomes;
mod scripted;
mod sharing;
mod silence;
mod tables;
