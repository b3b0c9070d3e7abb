//! The program of `orrery_fuzz::push_api`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(push_api);
