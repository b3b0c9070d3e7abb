//! Doctor: what this machine can do for the harness, found out by doing it.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::statvfs;
use rustix::process::{Resource, geteuid, getrlimit};

use crate::clock;
use crate::ledger::record::Thing;
use crate::limits::DISK_BYTES_MIN;
use crate::tool::Line;
use crate::{
    Disk, FOLDER, Fabric, Injection, Ledger, MachineError, Network, Process, WallClock, tool,
};

/// Memory that a cluster of a few processes and its load want.
const MEMORY_BYTES_MIN: u64 = 2 << 30;

/// Space that a run's disks and logs want.
const SPACE_BYTES_MIN: u64 = 4 << 30;

/// Descriptors that the harness's clients want.
const DESCRIPTORS_MIN: u64 = 4096;

/// One thing that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was looked for.
    pub name: &'static str,
    /// What it is used for.
    pub used_for: &'static str,
    /// What was found; or what is missing, and how to get it.
    pub found: Result<String, String>,
    /// Nothing of the process world runs without it.
    pub required: bool,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, text) = match (&self.found, self.required) {
            (Ok(text), _) => ("ok", text),
            (Err(text), true) => ("MISSING", text),
            (Err(text), false) => ("without", text),
        };
        write!(f, "{mark:<8}{:<12}{text} (for {})", self.name, self.used_for)
    }
}

/// Tries everything that the harness would use, and undoes it. Takes about a second. It does not fail: what
/// cannot be done is a finding.
pub fn examine() -> Vec<Probe> {
    let bench = Bench::new();
    let probe = |name, used_for, required, found| Probe { name, used_for, found, required };
    let used = |result: Result<String, MachineError>, package| result.map_err(advice(package));
    vec![
        probe("root", "everything on this machine", true, root()),
        probe("ledger", "undoing what a killed run left", true, used(bench.ledger(), "")),
        probe("switch", "every fault of the network", true, used(bench.switch(), "iproute2")),
        probe("bridge", "cuts at full speed", false, used(bench.bridge(), "nftables")),
        probe("netem", "nothing: the switch does its work", false, netem(&bench)),
        probe("disk", "power cuts, full disks", false, used(bench.disk(), "e2fsprogs mount")),
        probe("process", "kills and pauses", true, used(bench.process(), "")),
        probe("strace", "failing and slow syncs", false, used(bench.strace(), "strace")),
        probe("faketime", "wrong wall clocks", false, used(bench.clock(), "libfaketime")),
        probe("cores", "load beside the cluster", false, cores()),
        probe("memory", "a cluster and its load", false, memory()),
        probe("space", "disks and logs", false, space(&bench.folder)),
        probe("descriptors", "many clients", false, descriptors()),
    ]
}

/// The findings as text, a line each.
pub fn table(probes: &[Probe]) -> String {
    probes.iter().fold(String::new(), |mut text, probe| {
        writeln!(text, "{probe}").expect("a string takes all");
        text
    })
}

/// Where things are tried.
struct Bench {
    folder: PathBuf,
    ledger: Result<Arc<Ledger>, String>,
}

impl Bench {
    fn new() -> Self {
        let shared = Ledger::begin(Path::new(FOLDER));
        // Whoever may not write there may still try the rest.
        let own = std::env::temp_dir().join("orrery-jepsen");
        let ledger = shared.or_else(|_| Ledger::begin(&own)).map_err(|error| error.to_string());
        let name = ledger.as_ref().map_or("none", |ledger| ledger.run());
        Self { folder: std::env::temp_dir().join(format!("orrery-doctor-{name}")), ledger }
    }

    fn begun(&self) -> Result<&Arc<Ledger>, MachineError> {
        self.ledger.as_ref().map_err(|error| MachineError::Refused(error.clone()))
    }

    /// Does something with a folder that is gone afterwards.
    fn with_folder<T>(
        &self,
        work: impl FnOnce(&Arc<Ledger>, &Path) -> Result<T, MachineError>,
    ) -> Result<T, MachineError> {
        let ledger = self.begun()?;
        let _folder = ledger.makes(Thing::Folder(self.folder.clone()))?;
        fs::create_dir_all(&self.folder).map_err(MachineError::file("make", &self.folder))?;
        work(ledger, &self.folder)
    }

    fn ledger(&self) -> Result<String, MachineError> {
        let folder = Path::new(FOLDER);
        drop(Ledger::begin(folder)?);
        Ok(format!("in {FOLDER}"))
    }

    fn switch(&self) -> Result<String, MachineError> {
        let began = Instant::now();
        let network = Network::new(self.begun()?, Fabric::Switch, 0)?;
        let node = network.node("doctor")?;
        network.harness()?;
        let mut command = node.command(Path::new("ip"));
        command.args(["-4", "route"]);
        reached(command)?;
        Ok(format!("TUN devices and network namespaces; a node in {}", passed(began)))
    }

    fn bridge(&self) -> Result<String, MachineError> {
        let network = Network::new(self.begun()?, Fabric::Bridge, 0)?;
        network.node("doctor")?;
        let filtered = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
        let filtered = filtered.is_ok_and(|text| text.trim() == "1");
        let warning = "; iptables' rules apply to it as well (bridge-nf-call-iptables)";
        Ok(format!("bridge, veth and nftables{}", if filtered { warning } else { "" }))
    }

    fn disk(&self) -> Result<String, MachineError> {
        self.with_folder(|ledger, folder| {
            let disk = Disk::new(ledger, folder, "disk", DISK_BYTES_MIN)?;
            let file = disk.path().join("file");
            let write = || fs::File::create(&file).and_then(|file| file.sync_all());
            write().map_err(MachineError::file("write", &file))?;
            let began = Instant::now();
            disk.cut()?;
            if write().is_ok() {
                let text = "the file system goes on after its shutdown";
                return Err(MachineError::Refused(text.to_owned()));
            }
            disk.restore()?;
            if !file.exists() {
                let text = "a synced file is gone after the file system's shutdown";
                return Err(MachineError::Refused(text.to_owned()));
            }
            Ok(format!("ext4 on a loop device; a power cut and back in {}", passed(began)))
        })
    }

    fn process(&self) -> Result<String, MachineError> {
        self.with_sleeper(|process| {
            process.stop()?;
            process.go_on()?;
            process.kill()?;
            Ok("signals and start times".to_owned())
        })
    }

    fn strace(&self) -> Result<String, MachineError> {
        let version = Line::words("strace -V").run()?;
        self.with_sleeper(|process| {
            let began = Instant::now();
            process.inject(Injection::SyncFails)?.end()?;
            let version =
                version.lines().next().unwrap_or_default().trim_start_matches("strace -- ");
            Ok(format!("strace {version}, attached and off in {}", passed(began)))
        })
    }

    fn clock(&self) -> Result<String, MachineError> {
        const AHEAD: u64 = 86_400;
        self.with_folder(|ledger, folder| {
            let clock = WallClock::new(folder, "doctor")?;
            let _file = ledger.makes(Thing::File(clock.file().to_owned()))?;
            clock.set(AHEAD as i64 * 1000)?;
            let mut command = Command::new("date");
            command.arg("+%s");
            clock.apply(&mut command);
            let theirs: u64 = reached(command)?.trim().parse().unwrap_or(0);
            let ours: u64 = Line::words("date +%s").run()?.trim().parse().unwrap_or(0);
            // Both may have seen another second begin.
            if theirs.abs_diff(ours + AHEAD) > 60 {
                let text =
                    format!("a clock set a day ahead shows {theirs}, the right time is {ours}");
                return Err(MachineError::Refused(text));
            }
            let library = clock::library().unwrap_or_default();
            Ok(format!("{}", library.display()))
        })
    }

    fn with_sleeper<T>(
        &self,
        work: impl FnOnce(&mut Process) -> Result<T, MachineError>,
    ) -> Result<T, MachineError> {
        let mut command = Command::new("sleep");
        command.arg("60");
        let mut process = Process::spawn(self.begun()?, "doctor", command, Path::new("/dev/null"))?;
        // Until it has become the program it is a copy of this one.
        thread::sleep(Duration::from_millis(20));
        work(&mut process)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.ledger = Err("gone".to_owned());
        // Where the ledgers of those who are not root lay, unless another one does still.
        let _ = fs::remove_dir(std::env::temp_dir().join("orrery-jepsen"));
    }
}

fn root() -> Result<String, String> {
    let user = geteuid();
    if user.is_root() {
        Ok("user 0".to_owned())
    } else {
        Err(format!(
            "this is user {}: run it as root; the simulation needs no rights",
            user.as_raw()
        ))
    }
}

fn netem(bench: &Bench) -> Result<String, String> {
    let tried = || {
        let network = Network::new(bench.begun()?, Fabric::Switch, 0)?;
        let node = network.node("doctor")?;
        let mut command = node.command(Path::new("tc"));
        command.args(["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
        reached(command)
    };
    let text = |error: MachineError| format!("not in this kernel ({error})");
    tried().map(|_| "there".to_owned()).map_err(text)
}

fn cores() -> Result<String, String> {
    let cores = thread::available_parallelism().map_err(|error| error.to_string())?.get();
    let text = format!("{cores}");
    if cores < 2 { Err(format!("{text}: faults will be measured late")) } else { Ok(text) }
}

fn memory() -> Result<String, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let bytes = kilobytes.ok_or("/proc/meminfo names no MemAvailable")? * 1024;
    enough(bytes, MEMORY_BYTES_MIN)
}

fn space(folder: &Path) -> Result<String, String> {
    let folder = folder.parent().unwrap_or(folder);
    let space = statvfs(folder).map_err(|error| error.to_string())?;
    let found = enough(space.f_bavail * space.f_frsize, SPACE_BYTES_MIN);
    let place = |text: String| format!("{text} in {}", folder.display());
    found.map(place).map_err(place)
}

fn enough(bytes: u64, wanted: u64) -> Result<String, String> {
    let text = format!("{:.1} GiB free", bytes as f64 / f64::from(1 << 30));
    if bytes >= wanted { Ok(text) } else { Err(format!("{text}, {} GiB are wanted", wanted >> 30)) }
}

fn descriptors() -> Result<String, String> {
    match getrlimit(Resource::Nofile).current {
        None => Ok("unlimited".to_owned()),
        Some(count) if count >= DESCRIPTORS_MIN => Ok(format!("{count}")),
        Some(count) => Err(format!("{count}: raise it with `ulimit -n {DESCRIPTORS_MIN}`")),
    }
}

/// Runs a command that was made elsewhere to its end.
fn reached(mut command: Command) -> Result<String, MachineError> {
    command.env("PATH", tool::path());
    let line = command.get_program().display().to_string();
    let output =
        command.output().map_err(|source| MachineError::Start { line: line.clone(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(MachineError::Failed { line, status: output.status, stderr });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Says which packages a tool that is not there is in.
fn advice(packages: &'static str) -> impl Fn(MachineError) -> String {
    move |error| match &error {
        MachineError::Start { source, .. }
            if source.kind() == ErrorKind::NotFound && !packages.is_empty() =>
        {
            format!("{error} (apt install {packages})")
        }
        _ => error.to_string(),
    }
}

fn passed(began: Instant) -> String {
    format!("{} ms", began.elapsed().as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = Line::words("orrery-no-such-program").run().expect_err("not there");
        let text = advice("iproute2")(error);
        assert!(text.ends_with("(apt install iproute2)"), "{text}");
    }

    #[test]
    fn too_little_is_said_in_figures() {
        assert_eq!(enough(3 << 30, 2 << 30), Ok("3.0 GiB free".to_owned()));
        assert_eq!(enough(1 << 30, 2 << 30), Err("1.0 GiB free, 2 GiB are wanted".to_owned()));
    }
}
