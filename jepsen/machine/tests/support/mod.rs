//! What the tests of this crate share: what the machine can, folders, and the parts that other processes play.

#![allow(dead_code, reason = "shared with tests that use all of it")]

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _, stderr};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use machine::doctor::{self, Probe};
use machine::{Disk, Fabric, Ledger, Link, Network, Process};

/// How long anything may take that is waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Where the echo part listens.
pub(crate) const PORT: u16 = 7000;

/// Whether the machine can do what these probes name. If not, it is said past the test framework, which keeps
/// what a passing test prints to itself; with `ORRERY_MACHINE_TEST=required` that is a failure.
pub(crate) fn can(names: &[&str]) -> bool {
    static PROBES: OnceLock<Vec<Probe>> = OnceLock::new();
    let probes = PROBES.get_or_init(doctor::examine);
    for name in names {
        let probe = probes.iter().find(|probe| probe.name == *name).expect("a probe of this name");
        if let Err(reason) = &probe.found {
            let text = format!("SKIPPED, nothing was tested: {name}: {reason}\n");
            let required = env::var("ORRERY_MACHINE_TEST").is_ok_and(|value| value == "required");
            assert!(!required, "{text}");
            let _ = stderr().write_all(text.as_bytes());
            return false;
        }
    }
    true
}

/// A run of this test with a folder of its own.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ledger: Arc<Ledger>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Where the next harness would look, should this test be killed.
        let ledger = Ledger::begin(Path::new(machine::FOLDER)).unwrap();
        Self { folder, ledger }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a part and waits until it says that it plays.
    pub(crate) fn play(&self, part: Part) -> Player {
        let player = self.start(part);
        player.until("ready", 1);
        player
    }

    /// Starts a part.
    pub(crate) fn start(&self, part: Part) -> Player {
        let log = self.path().join(format!("{}.log", part.name));
        let mut command = part.command;
        command.args(["--exact", "support::part", "--ignored", "--nocapture", "--test-threads=1"]);
        let process = Process::spawn(&self.ledger, &part.name, command, &log).unwrap();
        Player { process, log }
    }
}

/// What another process shall do.
pub(crate) struct Part {
    name: String,
    pub(crate) command: Command,
}

impl Part {
    /// Here.
    pub(crate) fn here(name: &str, part: &str) -> Self {
        Self::with(name, Command::new(env::current_exe().unwrap()), part)
    }

    /// At a node.
    pub(crate) fn at(node: &machine::Node, part: &str) -> Self {
        Self::with(&node.name, node.command(&env::current_exe().unwrap()), part)
    }

    fn with(name: &str, mut command: Command, part: &str) -> Self {
        command.env("ORRERY_MACHINE_PART", part);
        Self { name: name.to_owned(), command }
    }

    /// With a bridge, if the machine can.
    pub(crate) fn with_bridge(mut self) -> Self {
        if can(&["bridge"]) {
            self.command.env("ORRERY_MACHINE_BRIDGE", "1");
        }
        self
    }

    /// In this folder.
    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.command.env("ORRERY_MACHINE_FOLDER", folder);
        self
    }
}

/// A process that plays a part.
pub(crate) struct Player {
    pub(crate) process: Process,
    log: PathBuf,
}

impl Player {
    /// The lines it printed that begin so, without that.
    pub(crate) fn lines(&self, beginning: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        // The last line may be half a line yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().filter_map(|line| line.strip_prefix(beginning));
        lines.map(|line| line.trim().to_owned()).collect()
    }

    /// Waits until it printed so many lines that begin so.
    pub(crate) fn until(&self, beginning: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = self.lines(beginning);
            if lines.len() >= count {
                return lines;
            }
            let all = || fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < deadline, "{count} times {beginning:?} in {}", all());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the next line that begins so.
    pub(crate) fn next(&self, beginning: &str) -> String {
        let seen = self.lines(beginning).len();
        self.until(beginning, seen + 1).swap_remove(seen)
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Not a test: what other processes, which are this program again, do.
#[test]
#[ignore = "a part that tests start in processes of their own"]
fn part() {
    let folder = PathBuf::from(env::var_os("ORRERY_MACHINE_FOLDER").unwrap_or_default());
    match env::var("ORRERY_MACHINE_PART").unwrap().as_str() {
        "echo" => echo(),
        "sync" => sync(&folder),
        "clock" => clock(),
        "idle" => idle(),
        "harness" => harness(&folder),
        other => panic!("no part {other}"),
    }
}

fn idle() {
    println!("\nready");
    loop {
        thread::park();
    }
}

/// Sends back every datagram and prints the number in it; takes a connection, which it prints, and all of its bytes,
/// and answers at its end.
fn echo() {
    let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
    let listener = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            println!("taken");
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(bytes.len().to_string().as_bytes()).unwrap();
        }
    });
    println!("\nready");
    let mut buffer = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        println!("got {}", u32::from_be_bytes(buffer[..4].try_into().unwrap()));
        // Whoever asked may be gone.
        let _ = socket.send_to(&buffer[..count], from);
    }
}

/// Adds one byte after another to a file and syncs each, over and over.
fn sync(folder: &Path) {
    let file = File::create(folder.join("records")).unwrap();
    println!("\nready");
    for number in 0.. {
        let began = Instant::now();
        let done = file.write_all_at(&[7], number).and_then(|()| file.sync_data());
        match done {
            Ok(()) => println!("synced {} {}", number + 1, began.elapsed().as_millis()),
            Err(error) => println!("failed {}", error.raw_os_error().unwrap()),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Says what time it is.
fn clock() {
    println!("\nready");
    let began = Instant::now();
    loop {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        println!("time {wall} {}", began.elapsed().as_millis());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Makes one of everything and waits to be killed.
fn harness(folder: &Path) {
    let ledger = Ledger::begin(&folder.join("ledgers")).unwrap();
    let switch = Network::new(&ledger, Fabric::Switch, 1).unwrap();
    switch.harness().unwrap();
    let node = switch.node("router-1").unwrap();
    switch
        .set("harness", "router-1", Link { delay: Duration::from_millis(1), ..Link::default() })
        .unwrap();
    println!("\nnode {}", node.namespace);
    println!("net {}", switch.net().host(0));
    let with_bridge = env::var("ORRERY_MACHINE_BRIDGE").is_ok();
    let bridge = with_bridge.then(|| {
        let bridge = Network::new(&ledger, Fabric::Bridge, 1).unwrap();
        println!("node {}", bridge.node("router-1").unwrap().namespace);
        bridge
    });
    let disk = Disk::new(&ledger, folder, "disk", 32 << 20).unwrap();
    println!("disk {}", disk.path().display());
    let mut command = node.command(Path::new("sh"));
    // It holds the disk, and so does the child of its own.
    command.current_dir(disk.path()).args(["-c", "sleep 600 & wait"]);
    let process = Process::spawn(&ledger, "router-1", command, Path::new("/dev/null")).unwrap();
    println!("process {}", process.pid());
    println!("ready");
    loop {
        thread::park();
        std::hint::black_box((&bridge, &disk));
    }
}
