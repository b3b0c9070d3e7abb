//! A comet in process, with real sockets, between scripted devices and a scripted logic.

// A test that cannot go on fails by panicking.
#![allow(clippy::unwrap_used)]

mod audit;
mod coalesce;
mod connect;
mod crew;
mod deliver;
mod drain;
mod drain_http;
mod http_limits;
mod http_refusals;
mod json;
mod limits;
mod outage;
mod pause;
mod presence;
mod rebind;
mod rooms;
mod slow;
mod stop;
mod support;
mod tls;
mod turns;
mod when_full;
