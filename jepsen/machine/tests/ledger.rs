//! What a killed harness leaves, and who may take it away.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use machine::{Disk, Ledger, Process};
use support::{Bench, Part, can, until};

/// Whether any of these words is known to the machine as a namespace, device, mount, loop device or route.
fn known(words: &[String]) -> Vec<String> {
    let mut all = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in ["ip netns list", "ip -brief link", "ip route", "losetup -a", "nft list tables"] {
        let mut parts = line.split(' ');
        if let Ok(output) = Command::new(parts.next().unwrap()).args(parts).output() {
            all += &String::from_utf8_lossy(&output.stdout);
        }
    }
    words.iter().filter(|word| all.contains(word.as_str())).cloned().collect()
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn what_a_killed_harness_made_is_undone_by_the_next_and_by_nobody_before() {
    if !can(&["switch", "disk", "process"]) {
        return;
    }
    let bench = Bench::new();
    let ledgers = bench.path().join("ledgers");
    let mut harness =
        bench.play(Part::here("harness", "harness").with_bridge().in_folder(bench.path()));
    let mut words = harness.lines("node ");
    words.extend(harness.lines("disk "));
    words.push(bench.path().join("disk.image").display().to_string());
    let net = harness.lines("net ").remove(0);
    // The names of all devices begin as those of the namespaces.
    words.extend(harness.lines("node ").iter().map(|name| name[..6].to_owned()));
    let process = harness.lines("process ").remove(0);
    assert_eq!(known(&words), words);
    let routed = || !known(std::slice::from_ref(&net)).is_empty();
    assert!(routed());

    assert_eq!(Ledger::sweep(&ledgers).unwrap(), Vec::<String>::new(), "its owner lives");
    assert!(alive(&process));
    assert_eq!(known(&words), words);

    // Not by its group, as a terminal would: only itself.
    harness.process.kill().unwrap();
    until("its TUN devices are gone", || !routed());
    assert!(alive(&process), "a process of its own survives it");
    assert!(!known(&words).is_empty());
    let swept = Ledger::sweep(&ledgers).unwrap();
    for wanted in ["killed process", "unmounted", "removed namespace", "disk.image"] {
        assert!(swept.iter().any(|line| line.contains(wanted)), "{wanted}: {swept:?}");
    }
    assert!(!swept.iter().any(|line| line.contains("still there")), "{swept:?}");
    assert!(!alive(&process));
    until("the last devices are gone", || known(&words).is_empty());
    assert!(!bench.path().join("disk").exists() && !bench.path().join("disk.image").exists());
    assert_eq!(fs::read_dir(&ledgers).unwrap().count(), 0);
    assert_eq!(Ledger::sweep(&ledgers).unwrap(), Vec::<String>::new());
}

#[test]
fn a_harness_killed_at_any_moment_leaves_nothing_to_those_who_come_after_the_next() {
    if !can(&["switch", "disk", "process"]) {
        return;
    }
    let bench = Bench::new();
    let path = bench.path().display().to_string();
    let mut made = 0;
    for round in 0..20 {
        let part = Part::here(&format!("harness-{round}"), "harness")
            .with_bridge()
            .in_folder(bench.path());
        let mut harness = bench.start(part);
        let ledgers = bench.path().join("ledgers");
        // Killed when it has written so much: at once, or while it makes it, or when it has.
        let lines = || {
            let file = fs::read_dir(&ledgers).into_iter().flatten().flatten().next();
            file.map(|file| fs::read_to_string(file.path()).unwrap().lines().count())
        };
        let ready = || !harness.lines("ready").is_empty();
        until("it has come so far", || lines().is_some_and(|count| count >= round / 2) || ready());
        thread::sleep(Duration::from_millis(if round % 2 == 0 { 0 } else { 8 }));
        harness.process.kill().unwrap();
        let file = fs::read_dir(&ledgers).unwrap().next().unwrap().unwrap().path();
        let text = fs::read_to_string(file).unwrap();
        made = made.max(text.lines().count());
        // The word behind each of them.
        let mut words: Vec<_> =
            text.lines().filter_map(|line| line.split(' ').nth(3)).map(str::to_owned).collect();
        words.retain(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
        words.push(path.clone());
        let swept = Ledger::sweep(&ledgers).unwrap();
        assert!(!swept.iter().any(|line| line.contains("still there")), "{round}: {swept:?}");
        until("the last devices are gone", || known(&words).is_empty());
        let left: Vec<_> =
            fs::read_dir(bench.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        let left = left.iter().filter(|name| !name.to_string_lossy().ends_with(".log")).count();
        assert_eq!(left, 1, "{round}: {swept:?}");
        assert_eq!(fs::read_dir(&ledgers).unwrap().count(), 0);
    }
    let wanted = if can(&["bridge"]) { 9 } else { 5 };
    assert!(made >= wanted, "the last one has made everything: {made}");
}

#[test]
fn the_end_of_a_ledger_undoes_what_is_left_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::begin(folder.path()).unwrap();
    let mut command = Command::new("sleep");
    // Not started through the ledger, only marked.
    let mut child = {
        ledger.mark(&mut command);
        command.arg("600").spawn().unwrap()
    };
    let environment = format!("/proc/{}/environ", child.id());
    let marked = || fs::read_to_string(&environment).unwrap().contains(ledger.run());
    until("it has become another program", marked);
    drop(ledger);
    assert!(!alive(&child.id().to_string()));
    child.wait().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A ledger's name of a process that cannot be, number 1 was started with the machine, in this start of it.
fn of_a_dead_one() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    format!("1-999999999-1-{}.ledger", id.split('-').next().unwrap())
}

#[test]
fn a_number_that_went_to_another_process_is_left_alone() {
    let bench = Bench::new();
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut stranger =
        Process::spawn(&bench.ledger, "stranger", command, Path::new("/dev/null")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(of_a_dead_one());
    let text =
        format!("makes 1 process {} 1 router-1\nmakes 2 file /no/such/file\nmak", stranger.pid());
    fs::write(&path, text).unwrap();
    assert_eq!(Ledger::sweep(folder.path()).unwrap(), Vec::<String>::new());
    assert!(stranger.ended().unwrap().is_none());
    assert!(!path.exists());
}

#[test]
fn of_an_earlier_start_of_the_machine_only_files_are_undone() {
    let folder = tempfile::tempdir().unwrap();
    // A run of the same name: as unlikely as it can be, and still somebody else's.
    let name = "1-999999999-1-0ld";
    let mut command = Command::new("sleep");
    command.arg("600").env("ORRERY_JEPSEN_RUN", name);
    let mut stranger = command.spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.id())).unwrap();
    let started = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().to_owned();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let path = folder.path().join(format!("{name}.ledger"));
    let (pid, shown) = (stranger.id(), file.display());
    let text = format!(
        "makes 1 process {pid} {started} router-1\nmakes 2 mount / {shown}\nmakes 3 file {shown}\n"
    );
    fs::write(&path, text).unwrap();
    let swept = Ledger::sweep(folder.path()).unwrap();
    assert_eq!(swept, [format!("removed {shown}")]);
    assert!(alive(&pid.to_string()) && !path.exists() && !file.exists());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn what_somebody_else_has_mounted_in_the_same_folder_stays() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    let disk = Disk::new(&bench.ledger, bench.path(), "theirs", 32 << 20).unwrap();
    fs::write(disk.path().join("file"), b"x").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("ours.image");
    fs::write(&image, b"x").unwrap();
    let lines = format!(
        "makes 1 file {image}\nmakes 2 mount {theirs} {image}\n",
        image = image.display(),
        theirs = disk.path().display()
    );
    let path = folder.path().join(of_a_dead_one());
    fs::write(&path, lines).unwrap();
    assert_eq!(Ledger::sweep(folder.path()).unwrap(), [format!("removed {}", image.display())]);
    assert_eq!(fs::read(disk.path().join("file")).unwrap(), b"x");
    assert!(!path.exists());
}

#[test]
fn an_image_stays_as_long_as_it_is_mounted() {
    if !can(&["disk"]) {
        return;
    }
    let bench = Bench::new();
    let disk = Disk::new(&bench.ledger, bench.path(), "disk", 32 << 20).unwrap();
    let image = bench.path().join("disk.image");
    let path = bench.path().join(of_a_dead_one());
    // In an order in which the image would go first.
    let lines = format!("makes 1 file {}\n", image.display());
    fs::write(&path, &lines).unwrap();
    let swept = Ledger::sweep(bench.path()).unwrap();
    assert!(swept[0].contains("is still there") && swept[0].contains("/dev/loop"), "{swept:?}");
    assert!(image.exists());
    assert_eq!(fs::read_to_string(&path).unwrap(), lines);
    // One that is in use when it is to go stays whole, and goes once it can.
    let held = fs::File::create(disk.path().join("held")).unwrap();
    drop(disk);
    assert!(image.exists() && bench.path().join("disk/held").exists());
    drop(held);
    let Bench { folder, ledger } = bench;
    drop(ledger);
    assert!(!image.exists() && !folder.path().join("disk").exists());
}

#[test]
fn what_cannot_be_undone_is_said_and_stays_written_and_only_that() {
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("theirs"), b"x").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    let path = folder.path().join(of_a_dead_one());
    let lines = format!(
        "makes 1 file {}\nmakes 2 folder {}\nmakes 3 wormhole x\n",
        file.display(),
        full.display()
    );
    fs::write(&path, lines).unwrap();
    let swept = Ledger::sweep(folder.path()).unwrap();
    assert!(swept.iter().any(|line| line.contains("full is still there")), "{swept:?}");
    assert!(
        swept.iter().any(|line| line.contains("not understood: makes 3 wormhole x")),
        "{swept:?}"
    );
    assert!(full.join("theirs").exists() && !file.exists());
    let left = fs::read_to_string(&path).unwrap();
    assert_eq!(left, format!("makes 2 folder {}\nmakes 3 wormhole x\n", full.display()));
}

#[test]
fn who_begins_while_somebody_else_undoes_waits_and_undoes_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(of_a_dead_one());
    let file = folder.path().join("file");
    fs::write(&file, b"theirs").unwrap();
    fs::write(&path, format!("makes 1 file {}\n", file.display())).unwrap();
    let other = fs::File::open(&path).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let swept = thread::scope(|scope| {
        let sweep = scope.spawn(|| Ledger::sweep(folder.path()).unwrap());
        thread::sleep(Duration::from_millis(200));
        assert!(!sweep.is_finished(), "it went on although the other one had not ended");
        // It has undone it; what is called like that now is another run's.
        fs::remove_file(&path).unwrap();
        drop(other);
        sweep.join().unwrap()
    });
    assert_eq!(swept, Vec::<String>::new());
    assert!(file.exists());
}

#[test]
fn a_folder_without_ledgers_is_swept_in_no_time_and_other_files_in_it_stay() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Ledger::sweep(&folder.path().join("none")).unwrap().is_empty());
    for name in ["notes", "x.ledger", "1-x-1-0a.ledger", ".ledger"] {
        fs::write(folder.path().join(name), b"makes 1 namespace x\n").unwrap();
    }
    assert!(Ledger::sweep(folder.path()).unwrap().is_empty());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}
