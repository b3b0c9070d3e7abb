//! The program of `orrery_fuzz::tls_device`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(tls_device);
