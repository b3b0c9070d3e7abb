//! Bench: where the doctor tries what the machine can do, and undoes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::ledger::record::Thing;
use crate::limits::DISK_BYTES_MIN;
use crate::tool::Line;
use crate::{
    Disk, FOLDER, Fabric, Injection, Ledger, MachineError, Network, Process, WallClock, tool,
};

/// Where things are tried.
pub(super) struct Bench {
    pub(super) folder: PathBuf,
    ledger: Result<Arc<Ledger>, String>,
}

impl Bench {
    pub(super) fn new() -> Self {
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

    pub(super) fn ledger(&self) -> Result<String, MachineError> {
        let folder = Path::new(FOLDER);
        drop(Ledger::begin(folder)?);
        Ok(format!("in {FOLDER}"))
    }

    pub(super) fn switch(&self) -> Result<String, MachineError> {
        let began = Instant::now();
        let network = Network::new(self.begun()?, Fabric::Switch, 0)?;
        let node = network.node("doctor")?;
        network.harness()?;
        let mut command = node.command(Path::new("ip"));
        command.args(["-4", "route"]);
        reached(command)?;
        Ok(format!("TUN devices and network namespaces; a node in {}", passed(began)))
    }

    pub(super) fn bridge(&self) -> Result<String, MachineError> {
        let network = Network::new(self.begun()?, Fabric::Bridge, 0)?;
        network.node("doctor")?;
        let filtered = fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
        let filtered = filtered.is_ok_and(|text| text.trim() == "1");
        let warning = "; iptables' rules apply to it as well (bridge-nf-call-iptables)";
        Ok(format!("bridge, veth and nftables{}", if filtered { warning } else { "" }))
    }

    pub(super) fn disk(&self) -> Result<String, MachineError> {
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

    pub(super) fn process(&self) -> Result<String, MachineError> {
        self.with_sleeper(|process| {
            process.stop()?;
            process.go_on()?;
            process.kill()?;
            Ok("signals and start times".to_owned())
        })
    }

    pub(super) fn strace(&self) -> Result<String, MachineError> {
        let version = Line::words("strace -V").run()?;
        self.with_sleeper(|process| {
            let began = Instant::now();
            process.inject(Injection::SyncFails)?.end()?;
            let version =
                version.lines().next().unwrap_or_default().trim_start_matches("strace -- ");
            Ok(format!("strace {version}, attached and off in {}", passed(began)))
        })
    }

    pub(super) fn clock(&self) -> Result<String, MachineError> {
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

    pub(super) fn netem(&self) -> Result<String, String> {
        let tried = || {
            let network = Network::new(self.begun()?, Fabric::Switch, 0)?;
            let node = network.node("doctor")?;
            let mut command = node.command(Path::new("tc"));
            command.args(["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]);
            reached(command)
        };
        let text = |error: MachineError| format!("not in this kernel ({error})");
        tried().map(|_| "there".to_owned()).map_err(text)
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

fn passed(began: Instant) -> String {
    format!("{} ms", began.elapsed().as_millis())
}
