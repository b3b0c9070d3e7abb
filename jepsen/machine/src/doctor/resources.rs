//! Resources: how much of everything the machine has, and who may use it.

use std::fs;
use std::path::Path;
use std::thread;

use rustix::fs::statvfs;
use rustix::process::{Resource, geteuid, getrlimit};

/// Memory that a cluster of a few processes and its load want.
const MEMORY_BYTES_MIN: u64 = 2 << 30;

/// Space that a run's disks and logs want.
const SPACE_BYTES_MIN: u64 = 4 << 30;

/// Descriptors that the harness's clients want.
const DESCRIPTORS_MIN: u64 = 4096;

pub(super) fn root() -> Result<String, String> {
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

pub(super) fn cores() -> Result<String, String> {
    let cores = thread::available_parallelism().map_err(|error| error.to_string())?.get();
    let text = format!("{cores}");
    if cores < 2 { Err(format!("{text}: faults will be measured late")) } else { Ok(text) }
}

pub(super) fn memory() -> Result<String, String> {
    let text = fs::read_to_string("/proc/meminfo").map_err(|error| error.to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let bytes = kilobytes.ok_or("/proc/meminfo names no MemAvailable")? * 1024;
    enough(bytes, MEMORY_BYTES_MIN)
}

pub(super) fn space(folder: &Path) -> Result<String, String> {
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

pub(super) fn descriptors() -> Result<String, String> {
    match getrlimit(Resource::Nofile).current {
        None => Ok("unlimited".to_owned()),
        Some(count) if count >= DESCRIPTORS_MIN => Ok(format!("{count}")),
        Some(count) => Err(format!("{count}: raise it with `ulimit -n {DESCRIPTORS_MIN}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_is_said_in_figures() {
        assert_eq!(enough(3 << 30, 2 << 30), Ok("3.0 GiB free".to_owned()));
        assert_eq!(enough(1 << 30, 2 << 30), Err("1.0 GiB free, 2 GiB are wanted".to_owned()));
    }
}
