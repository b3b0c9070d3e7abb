//! The program of `orrery_fuzz::certificate`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(certificate);
