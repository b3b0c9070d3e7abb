//! Processes: stopped, continued, killed, and with system calls that fail.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use machine::{Injection, Process};
use support::{Bench, Part, Player, can, until};

/// SIGKILL of signal(7).
const SIGKILL: i32 = 9;

/// SIGTERM of signal(7).
const SIGTERM: i32 = 15;

/// EIO of errno(3).
const EIO: i32 = 5;

/// ENOSPC of errno(3).
const ENOSPC: i32 = 28;

fn writer(bench: &Bench) -> Player {
    let player = bench.play(Part::here("writer", "sync").in_folder(bench.path()));
    player.until("synced", 3);
    player
}

#[test]
fn a_stopped_process_does_nothing_until_it_goes_on() {
    let bench = Bench::new();
    let player = writer(&bench);
    player.process.stop().unwrap();
    let before = player.lines("synced").len();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(player.lines("synced").len(), before);
    player.process.go_on().unwrap();
    player.next("synced");
}

#[test]
fn kill_ends_a_process_and_its_children_also_when_stopped() {
    let bench = Bench::new();
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600 & echo child $!; wait"]);
    let log = bench.path().join("log");
    let mut process = Process::spawn(&bench.ledger, "sh", command, &log).unwrap();
    let text = || std::fs::read_to_string(&log).unwrap();
    until("it has a child", || text().ends_with('\n'));
    let child = text().trim().strip_prefix("child ").unwrap().to_owned();
    assert!(process.ended().unwrap().is_none());
    process.stop().unwrap();
    process.kill().unwrap();
    assert_eq!(process.ended().unwrap().unwrap().signal(), Some(SIGKILL));
    until("the child is gone", || !alive(&child));
    // Whoever has ended is killed in vain and cannot be signalled.
    process.kill().unwrap();
    assert!(process.stop().is_err() && process.go_on().is_err() && process.terminate().is_err());
}

/// Whether this process is there, and not only waits for being waited for.
fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_process_that_ends_by_itself_is_known_with_its_status() {
    let bench = Bench::new();
    let log = bench.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo error >&2; exit 3"]);
    let mut process = Process::spawn(&bench.ledger, "sh", command, &log).unwrap();
    until("it has ended", || process.ended().unwrap().is_some());
    assert_eq!(process.ended().unwrap().unwrap().code(), Some(3));
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerror\n");

    let mut sleeper = Process::spawn(&bench.ledger, "sleep", sleep(), &log).unwrap();
    sleeper.terminate().unwrap();
    until("it has ended", || sleeper.ended().unwrap().is_some());
    assert_eq!(sleeper.ended().unwrap().unwrap().signal(), Some(SIGTERM));

    let missing = Command::new("/no/such/program");
    let error = Process::spawn(&bench.ledger, "none", missing, &log).unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}

fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    command
}

#[test]
fn a_dropped_process_is_gone() {
    let bench = Bench::new();
    let process = Process::spawn(&bench.ledger, "sleep", sleep(), Path::new("/dev/null")).unwrap();
    let pid = process.pid().to_string();
    assert!(alive(&pid));
    drop(process);
    assert!(!alive(&pid));
}

#[test]
fn syncs_fail_while_it_is_injected_and_no_longer() {
    if !can(&["strace"]) {
        return;
    }
    let bench = Bench::new();
    let mut player = writer(&bench);
    for round in 0..3 {
        let mut injected = player.process.inject(Injection::SyncFails).unwrap();
        let failed = player.lines("failed").len();
        player.until(&format!("failed {EIO}"), failed + 5);
        let synced = player.lines("synced").len();
        player.until("failed", failed + 10);
        assert!(player.lines("synced").len() <= synced + 1, "round {round}");
        assert!(injected.lasts().unwrap());
        let second = player.process.inject(Injection::NoSpace);
        assert!(second.is_err(), "one at a time");
        injected.end().unwrap();
        player.next("synced");
        let failed = player.lines("failed").len();
        player.next("synced");
        assert_eq!(player.lines("failed").len(), failed, "round {round}");
    }
    assert!(player.process.ended().unwrap().is_none());
    player.process.kill().unwrap();
    assert!(player.process.inject(Injection::SyncFails).is_err(), "it has ended");
}

#[test]
fn syncs_take_longer_while_it_is_injected() {
    if !can(&["strace"]) {
        return;
    }
    let bench = Bench::new();
    let player = writer(&bench);
    let slow = Injection::SyncSlow(Duration::from_millis(150));
    let injected = player.process.inject(slow).unwrap();
    let took = |line: String| line.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    player.next("synced");
    assert!(took(player.next("synced")) >= 150);
    drop(injected);
    player.next("synced");
    until("a quick one", || took(player.next("synced")) < 100);
}

#[test]
fn positioned_writes_find_no_space_while_it_is_injected() {
    if !can(&["strace"]) {
        return;
    }
    let bench = Bench::new();
    let player = writer(&bench);
    let injected = player.process.inject(Injection::NoSpace).unwrap();
    player.until(&format!("failed {ENOSPC}"), 3);
    drop(injected);
    player.next("synced");
}

#[test]
fn the_nth_sync_kills_instead_of_syncing() {
    if !can(&["strace"]) {
        return;
    }
    let bench = Bench::new();
    let mut player = writer(&bench);
    player.process.stop().unwrap();
    let before = player.lines("synced").len();
    let mut injected = player.process.inject(Injection::KillAtSync { nth: 4 }).unwrap();
    player.process.go_on().unwrap();
    until("it is dead", || player.process.ended().unwrap().is_some());
    assert_eq!(player.process.ended().unwrap().unwrap().signal(), Some(SIGKILL));
    // A sync that was under way may count as none or be cut short and counted.
    let synced = player.lines("synced").len() - before;
    assert!((2..=4).contains(&synced), "{synced}");
    until("strace has ended too", || !injected.lasts().unwrap());
}

#[test]
fn a_stopped_process_is_still_stopped_after_an_injection() {
    if !can(&["strace"]) {
        return;
    }
    let bench = Bench::new();
    let player = writer(&bench);
    player.process.stop().unwrap();
    player.process.inject(Injection::SyncFails).unwrap().end().unwrap();
    let before = player.lines("synced").len();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(player.lines("synced").len(), before);
    player.process.go_on().unwrap();
    player.next("synced");
}
