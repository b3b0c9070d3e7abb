//! The program of `orrery_fuzz::json_protocol`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(json_protocol);
