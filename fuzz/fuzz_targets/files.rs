//! The program of `orrery_fuzz::files`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(files);
