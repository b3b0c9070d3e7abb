//! The program of `orrery_fuzz::http_session`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(http_session);
