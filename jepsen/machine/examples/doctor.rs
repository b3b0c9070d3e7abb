//! Prints what this machine can do for the harness.
#![allow(clippy::print_stdout)]

fn main() {
    print!("{}", machine::doctor::table(&machine::doctor::examine()));
}
