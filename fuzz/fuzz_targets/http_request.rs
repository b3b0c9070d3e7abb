//! The program of `orrery_fuzz::http_request`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(http_request);
