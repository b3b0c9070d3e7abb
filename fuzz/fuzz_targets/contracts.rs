//! The program of `orrery_fuzz::contracts`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(contracts);
