//! A run of processes that is ended from outside leaves nothing on the machine: not when it is asked to end, and
//! once the next one has begun not even when it was killed.

#![allow(clippy::unwrap_used, reason = "clippy knows only #[test] functions as tests")]
#![allow(
    clippy::disallowed_methods,
    reason = "this waits for processes, outside of any simulation"
)]

use std::env;
use std::fs;
use std::io::{Write as _, stderr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that is waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// Routers of which the processes are waited for.
const ROUTERS: usize = 3;

/// A program in the place of the one under test: it goes where its disk is, holds a file open there, has a child
/// of its own, hears no one, and never serves.
const DEAF: &str = "#!/bin/sh
trap '' TERM INT HUP
cd \"$(dirname \"$(sed -n 's/^path = \"\\(.*\\)\"$/\\1/p' \"$3\")\")\"
exec 3>held
sleep 600 &
wait
";

/// One that ends at once.
const BROKEN: &str = "#!/bin/sh
echo 'cannot work today'
exit 7
";

/// Whether the machine can do it. If not, it is said past the test framework, which keeps what a passing test
/// prints to itself; with `ORRERY_MACHINE_TEST=required` that is a failure.
fn can() -> bool {
    let probes = machine::doctor::examine();
    let missing = |name: &str| {
        let probe = probes.iter().find(|probe| probe.name == name).expect("a probe of this name");
        probe.found.clone().err().map(|why| format!("{name}: {why}"))
    };
    let Some(why) = ["root", "switch", "disk", "process"].into_iter().find_map(missing) else {
        return true;
    };
    let text = format!("SKIPPED, nothing was tested: {why}\n");
    let required = env::var("ORRERY_MACHINE_TEST").is_ok_and(|value| value == "required");
    assert!(!required, "{text}");
    let _ = stderr().write_all(text.as_bytes());
    false
}

/// One at a time: each makes a dozen machines.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of runs, and programs to run.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        for (name, text) in [("deaf", DEAF), ("broken", BROKEN)] {
            let path = bench.path(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn jepsen(&self, binary: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jepsen"));
        command.args(["process", "--seconds", "10", "--families", "kill"]).args(arguments);
        command.arg("--binary").arg(self.path(binary));
        command.arg("--folder").arg(self.path("runs"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What a run has written down, as words: names, numbers and paths.
#[derive(Debug, Default)]
struct Made {
    ledger: PathBuf,
    processes: Vec<(String, String)>,
    namespaces: Vec<String>,
    paths: Vec<String>,
}

impl Made {
    fn read(ledger: &Path) -> Option<Self> {
        let text = fs::read_to_string(ledger).ok()?;
        let mut made = Self { ledger: ledger.to_owned(), ..Self::default() };
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["makes", _, "process", pid, started, _] => {
                    made.processes.push((pid.to_owned(), started.to_owned()));
                }
                ["makes", _, "namespace", name] => made.namespaces.push(name.to_owned()),
                ["makes", _, "mount", folder, image] => {
                    made.paths.extend([folder.to_owned(), image.to_owned()]);
                }
                _ => {}
            }
        }
        Some(made)
    }

    /// What is there of it.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let run = self.ledger.file_stem().unwrap().to_string_lossy().into_owned();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let of = |file| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let stat = of("stat");
            let Some((name, fields)) = stat.rsplit_once(") ") else { continue };
            let pid = entry.file_name().to_string_lossy().into_owned();
            let started = fields.split(' ').nth(19).unwrap_or_default();
            let is_known =
                self.processes.iter().any(|known| *known == (pid.clone(), started.into()));
            let is_marked =
                of("environ").split('\0').any(|it| it == format!("ORRERY_JEPSEN_RUN={run}"));
            if (is_known || is_marked) && !fields.starts_with('Z') {
                left.push(format!("process {name})"));
            }
        }
        for namespace in &self.namespaces {
            if Path::new("/run/netns").join(namespace).exists() {
                left.push(format!("namespace {namespace}"));
            }
            // The names of all devices begin as those of the namespaces.
            let prefix = namespace.split('-').next().unwrap();
            let devices = fs::read_dir("/sys/class/net").unwrap().flatten();
            let names = devices.map(|entry| entry.file_name().to_string_lossy().into_owned());
            left.extend(names.filter(|name| name.starts_with(prefix)));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        // Also those of images that were removed.
        let loops = Command::new("losetup").arg("-a").output().unwrap().stdout;
        let loops = String::from_utf8_lossy(&loops).into_owned();
        for path in &self.paths {
            if mounts.contains(path) || loops.contains(path) || Path::new(path).exists() {
                left.push(path.clone());
            }
        }
        if self.ledger.exists() {
            left.push(self.ledger.display().to_string());
        }
        left
    }
}

/// A run in a process of its own; killed when a test fails.
struct Run(Child);

impl Run {
    fn start(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        signal(self.0.id(), name);
    }

    /// Its exit code, and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        until("it has ended", || self.0.try_wait().unwrap().is_some());
        let mut said = String::new();
        for stream in [
            self.0.stdout.take().map(|out| std::io::read_to_string(out).unwrap()),
            self.0.stderr.take().map(|out| std::io::read_to_string(out).unwrap()),
        ] {
            said.push_str(&stream.unwrap_or_default());
        }
        (self.0.wait().unwrap().code(), said)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(done.success(), "{name} to {pid}");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process's run has made its machines and started what runs on them.
fn made_by(pid: u32) -> Made {
    let mut made = Made::default();
    until("it has made everything", || {
        let ledgers = fs::read_dir(machine::FOLDER).into_iter().flatten().flatten();
        let mut ours = ledgers.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(&format!("{pid}-"))
        });
        // The doctor's come first and go.
        let whole =
            |made: &Made| made.processes.len() >= ROUTERS && made.paths.len() >= 2 * ROUTERS;
        made = ours.find_map(|path| Made::read(&path).filter(whole)).unwrap_or_default();
        whole(&made)
    });
    let held = |folder: &&String| Path::new(folder).join("held").exists();
    until("they hold their disks", || made.paths.iter().filter(held).count() >= ROUTERS);
    assert!(!made.left().is_empty());
    made
}

#[test]
fn one_that_is_asked_to_end_leaves_nothing() {
    if !can() {
        return;
    }
    let _turn = turn();
    let bench = Bench::new();
    for name in ["TERM", "INT", "HUP"] {
        let mut run = Run::start(bench.jepsen("deaf", &["--seed", "1"]));
        let made = made_by(run.0.id());
        let began = Instant::now();
        run.signal(name);
        let (code, said) = run.end();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("ended by SIG{name}")), "{said}");
        assert_eq!(made.left(), Vec::<String>::new(), "{name}: {said}");
        // Nothing was waited for that others still held.
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[test]
fn one_that_was_killed_leaves_nothing_once_another_has_begun() {
    if !can() {
        return;
    }
    let _turn = turn();
    let bench = Bench::new();
    let mut run = Run::start(bench.jepsen("deaf", &["--seed", "1"]));
    let made = made_by(run.0.id());
    run.signal("KILL");
    run.0.wait().unwrap();
    assert!(made.left().len() > 3 * ROUTERS, "{:?}", made.left());
    let mut next = Run::start(bench.jepsen("broken", &["--seed", "2"]));
    let (code, said) = next.end();
    assert!(said.contains("left by a run that was killed, undone: killed process"), "{said}");
    assert_eq!(made.left(), Vec::<String>::new(), "{said}");
    // Its own program does not start, which is no verdict on anything, and leaves nothing either.
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ended while starting") && said.contains("cannot work today"), "{said}");
    let disks: Vec<_> = fs::read_dir(bench.path("runs/kill-2/disks")).unwrap().collect();
    assert!(disks.is_empty(), "{disks:?}");
}

#[test]
fn several_end_with_the_process_that_began_them_however_that_ends() {
    if !can() {
        return;
    }
    let _turn = turn();
    let bench = Bench::new();
    for name in ["TERM", "KILL"] {
        let mut run = Run::start(bench.jepsen("deaf", &["--seeds", "2", "--jobs", "2"]));
        let mut children: Vec<u32> = Vec::new();
        until("both have begun", || {
            let text = |path: String| fs::read_to_string(path).unwrap_or_default();
            let all = text(format!("/proc/{0}/task/{0}/children", run.0.id()));
            let is_run = |pid: &&str| text(format!("/proc/{pid}/cmdline")).contains("--child");
            let runs = all.split_whitespace().filter(is_run);
            children = runs.map(|pid| pid.parse().unwrap()).collect();
            children.len() == 2
        });
        let made: Vec<Made> = children.into_iter().map(made_by).collect();
        run.signal(name);
        let (code, said) = run.end();
        if name == "TERM" {
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("--resume"), "{said}");
            made.iter().for_each(|made| assert_eq!(made.left(), Vec::<String>::new(), "{said}"));
        }
        // They hear of it by themselves, and take their time.
        until("nothing is left", || made.iter().all(|made| made.left().is_empty()));
    }
}

/// `jepsen kill`, which needs no rights.
struct Killing {
    bench: Bench,
}

impl Killing {
    fn start(&self, binary: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jepsen"));
        command.arg("kill").arg("--binary").arg(self.bench.path(binary));
        command.arg("--folder").arg(self.bench.path("kill"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Run::start(command)
    }

    /// One whose router runs, and what it has made.
    fn begun(&self) -> (Run, Made) {
        let run = self.start("deaf");
        let mut made = Made::default();
        until("its router runs", || {
            let ledgers = fs::read_dir(self.bench.path("kill.ledgers")).into_iter().flatten();
            let mut ledgers = ledgers.flatten().map(|entry| entry.path());
            made = ledgers.find_map(|path| Made::read(&path)).unwrap_or_default();
            !made.processes.is_empty() && self.bench.path("kill/held").exists()
        });
        assert!(made.left().len() >= 2, "its router and that one's child: {:?}", made.left());
        (run, made)
    }
}

#[test]
fn kills_that_are_ended_leave_no_router() {
    let killing = Killing { bench: Bench::new() };
    for name in ["TERM", "INT", "HUP"] {
        let (mut run, made) = killing.begun();
        run.signal(name);
        let (code, said) = run.end();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("ended by SIG{name}")), "{said}");
        assert_eq!(made.left(), Vec::<String>::new(), "{name}: {said}");
    }
    let (mut run, made) = killing.begun();
    run.signal("KILL");
    run.0.wait().unwrap();
    let (code, said) = killing.start("broken").end();
    assert!(said.contains("left by a run that was killed, undone: killed process"), "{said}");
    assert_eq!(made.left(), Vec::<String>::new(), "{said}");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("ended while starting") && said.contains("cannot work today"), "{said}");
}

#[test]
fn a_folder_that_another_run_uses_is_left_alone() {
    let killing = Killing { bench: Bench::new() };
    let (mut run, made) = killing.begun();
    let (code, said) = killing.start("broken").end();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is in use by another run"), "{said}");
    assert!(killing.bench.path("kill/held").exists() && made.left().len() >= 2);
    run.signal("TERM");
    let (code, said) = run.end();
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(made.left(), Vec::<String>::new(), "{said}");
}
