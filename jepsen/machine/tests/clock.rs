//! Wall clocks that jump while a process runs.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use machine::WallClock;
use support::{Bench, Part, can};

#[test]
fn the_wall_clock_of_a_running_process_jumps_and_its_monotonic_one_does_not() {
    if !can(&["faketime"]) {
        return;
    }
    let bench = Bench::new();
    let clock = WallClock::new(bench.path(), "node-1").unwrap();
    let mut part = Part::here("clock", "clock");
    clock.apply(&mut part.command);
    let mut player = bench.play(part);
    let mut last = 0;
    for offset_ms in [0, 86_400_000, -3_600_500, 1500, 0] {
        clock.set(offset_ms).unwrap();
        // The line under way may be of before.
        player.next("time");
        let line = player.next("time");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let (wall, monotonic) = line.split_once(' ').unwrap();
        let (wall, monotonic): (i64, i64) = (wall.parse().unwrap(), monotonic.parse().unwrap());
        let seen = wall - now;
        assert!((seen - offset_ms).abs() < 400, "{seen} instead of {offset_ms}");
        assert!(monotonic >= last && monotonic < last + 5000, "{monotonic} after {last}");
        last = monotonic;
    }
    let name = format!("_{}", player.process.pid());
    let kept = || {
        let names = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|file| file.to_string_lossy().ends_with(&name)).count()
    };
    assert_eq!(kept(), 2, "what the library keeps beside the process has another name");
    player.process.kill().unwrap();
    assert_eq!(kept(), 0);
}

#[test]
fn two_processes_have_clocks_of_their_own() {
    if !can(&["faketime"]) {
        return;
    }
    let bench = Bench::new();
    let mut walls = Vec::new();
    for (name, offset_ms) in [("a", 0), ("b", 7_200_000)] {
        let clock = WallClock::new(bench.path(), name).unwrap();
        clock.set(offset_ms).unwrap();
        let mut part = Part::here(name, "clock");
        clock.apply(&mut part.command);
        let line = bench.play(part).next("time");
        walls.push(line.split(' ').next().unwrap().parse::<i64>().unwrap());
    }
    let apart = walls[1] - walls[0] - 7_200_000;
    assert!((0..5000).contains(&apart), "{apart}");
}
