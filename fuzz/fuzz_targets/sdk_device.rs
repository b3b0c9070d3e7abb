//! The program of `orrery_fuzz::sdk_device`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(sdk_device);
