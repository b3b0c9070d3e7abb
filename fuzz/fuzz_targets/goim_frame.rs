//! The program of `orrery_fuzz::goim_frame`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(goim_frame);
