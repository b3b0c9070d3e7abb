//! What strangers, other processes and disks can send: for each kind a target that takes any bytes for it, and
//! panics where something does not hold that must.
//!
//! The programs in `fuzz_targets/` are this for cargo-fuzz, which looks for such bytes. Built without it they look
//! at files, for example at a finding. The tests of this crate look at what was found before and at inputs made of
//! each target's own words, so that a target is right for as long as what it looks at.

pub mod certificate;
pub mod contracts;
mod decoded;
pub mod files;
pub mod goim_frame;
pub mod http_request;
pub mod http_session;
pub mod json_protocol;
pub mod log_record;
pub mod node_list;
pub mod push_api;
mod replay;
pub mod sdk_device;
pub mod tls_device;

pub use replay::replay;

/// Takes any bytes. Panics where something does not hold that must.
pub type Check = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Check); 12] = [
    ("certificate", certificate::check),
    ("contracts", contracts::check),
    ("files", files::check),
    ("goim_frame", goim_frame::check),
    ("http_request", http_request::check),
    ("http_session", http_session::check),
    ("json_protocol", json_protocol::check),
    ("log_record", log_record::check),
    ("node_list", node_list::check),
    ("push_api", push_api::check),
    ("sdk_device", sdk_device::check),
    ("tls_device", tls_device::check),
];

/// The program of the target of this name, for a crate with `#![cfg_attr(fuzzing, no_main)]`.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::$target::check(bytes));

        #[cfg(not(fuzzing))]
        fn main() -> ::anyhow::Result<()> {
            $crate::replay($crate::$target::check)
        }
    };
}
