//! The program of `orrery_fuzz::log_record`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(log_record);
