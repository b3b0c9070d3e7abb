//! The program of `orrery_fuzz::node_list`.
#![cfg_attr(fuzzing, no_main)]

orrery_fuzz::program!(node_list);
