//! A logic in process, between a scripted registry and scripted comets, all over real connections.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod edge;
mod goim;
mod grpc;
mod http;
mod limits;
mod line;
mod order;
mod receipts;
