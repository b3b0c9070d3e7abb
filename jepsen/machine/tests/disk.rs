//! Disks: what a power cut takes and leaves, being full, being new.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use machine::Disk;
use support::{Bench, Part, can};

const BYTES: u64 = 32 << 20;

/// EIO of errno(3).
const EIO: i32 = 5;

/// ENOSPC of errno(3).
const ENOSPC: i32 = 28;

fn disk(bench: &Bench, name: &str) -> Disk {
    Disk::new(&bench.ledger, bench.path(), name, BYTES).unwrap()
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_leaves_what_was() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    let disk = disk(&bench, "node-1");
    let other = self::disk(&bench, "node-2");
    for round in 0..5 {
        let path = disk.path().join(format!("synced-{round}"));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"kept").unwrap();
        file.sync_data().unwrap();
        File::open(disk.path()).unwrap().sync_all().unwrap();
        file.write_all(b" and lost").unwrap();
        let forgotten = disk.path().join(format!("forgotten-{round}"));
        fs::write(&forgotten, b"never synced").unwrap();

        disk.cut().unwrap();
        assert_eq!(file.write_all(b"x").unwrap_err().raw_os_error(), Some(EIO));
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
        assert!(File::create(disk.path().join("new")).is_err());
        assert!(other.path().join("lost+found").exists());
        fs::write(other.path().join("other"), b"goes on").unwrap();
        if round == 0 {
            assert!(disk.restore().is_err(), "somebody has a file of it open");
        }
        drop(file);
        disk.restore().unwrap();

        assert_eq!(fs::read(&path).unwrap(), b"kept", "round {round}");
        assert!(!forgotten.exists(), "round {round}");
        fs::write(disk.path().join("new"), b"works again").unwrap();
    }
}

#[test]
fn every_acknowledged_sync_of_a_killed_process_survives_the_cut() {
    if !can(&["disk", "process"]) {
        return;
    }
    let bench = Bench::new();
    let disk = disk(&bench, "node-1");
    for round in 0..3 {
        let part = Part::here(&format!("writer-{round}"), "sync").in_folder(disk.path());
        let mut player = bench.play(part);
        player.until("synced", 20);
        disk.cut().unwrap();
        player.until(&format!("failed {EIO}"), 1);
        player.process.kill().unwrap();
        disk.restore().unwrap();
        let acknowledged: u64 = {
            let last = player.lines("synced").pop().unwrap();
            last.split(' ').next().unwrap().parse().unwrap()
        };
        let found = fs::metadata(disk.path().join("records")).unwrap().len();
        assert!(found >= acknowledged, "{found} of {acknowledged} acknowledged bytes");
    }
}

#[test]
fn a_full_disk_takes_nothing_until_it_is_freed() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    let disk = disk(&bench, "node-1");
    let path = disk.path().join("file");
    let append = || {
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(&[7; 8192])?;
        file.sync_all()
    };
    append().unwrap();
    for _ in 0..2 {
        disk.fill().unwrap();
        assert_eq!(append().unwrap_err().raw_os_error(), Some(ENOSPC));
        // Filling what is full changes nothing.
        disk.fill().unwrap();
        disk.free().unwrap();
        append().unwrap();
    }
    disk.free().unwrap();
}

#[test]
fn a_wiped_disk_is_as_new_and_a_dropped_one_is_gone() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    let disk = disk(&bench, "node-1");
    fs::write(disk.path().join("file"), b"x").unwrap();
    disk.wipe().unwrap();
    let names: Vec<_> =
        fs::read_dir(disk.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["lost+found"]);
    let second = Disk::new(&bench.ledger, bench.path(), "node-1", BYTES);
    assert!(second.is_err(), "there is one of this name");
    // The attempt took nothing from the first.
    fs::write(disk.path().join("file"), b"x").unwrap();
    drop(disk);
    assert_eq!(fs::read_dir(bench.path()).unwrap().count(), 0);
    let loops = std::process::Command::new("losetup").arg("-a").output().unwrap();
    let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
    assert!(!loops.contains(bench.path().to_str().unwrap()), "{loops}");
}

#[test]
fn a_disk_that_is_too_small_or_has_no_name_is_refused() {
    let bench = tempfile::tempdir().unwrap();
    let ledger = machine::Ledger::begin(bench.path()).unwrap();
    assert!(Disk::new(&ledger, bench.path(), "a", 1 << 20).is_err());
    assert!(Disk::new(&ledger, bench.path(), "../a", BYTES).is_err());
    assert!(Disk::new(&ledger, &bench.path().join("none"), "a", BYTES).is_err());
}

#[test]
fn many_disks_at_once_do_not_get_into_each_others_way() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let bench = &bench;
            scope.spawn(move || {
                let disk = disk(bench, &format!("node-{number}"));
                for _ in 0..3 {
                    fs::write(disk.path().join("file"), b"x").unwrap();
                    disk.cut().unwrap();
                    disk.restore().unwrap();
                }
                disk.wipe().unwrap();
            });
        }
    });
    assert_eq!(fs::read_dir(bench.path()).unwrap().count(), 0);
}
