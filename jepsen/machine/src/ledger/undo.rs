//! Undo: takes away what somebody made. What is not there is undone already.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::RUN;
use super::mount::{loops_of, unmount};
use super::owner::Owner;
use super::record::Thing;
use crate::limits::{LOOK, SIGNAL_WAIT_MAX};
use crate::tool::{Line, TOOL_OF};
use crate::{MachineError, clock};

/// Kills everything that carries this run's name in its environment, then undoes the things, last first but
/// processes before all. Returns what it did, one line each, and the numbers of what is still there.
pub(crate) fn undo_all(run: &str, things: &BTreeMap<u64, Thing>) -> (Vec<String>, Vec<u64>) {
    let mut said = Vec::new();
    kill_run(run, &mut said);
    let left = undo_things(things, &mut said);
    // One that was just being started at the first look carried another name then.
    kill_run(run, &mut said);
    (said, left)
}

/// Undoes things, last first but processes before all: the numbers of what is still there.
pub(crate) fn undo_things(things: &BTreeMap<u64, Thing>, said: &mut Vec<String>) -> Vec<u64> {
    let mut left = Vec::new();
    let process = |thing: &Thing| matches!(thing, Thing::Process { .. });
    let processes = things.iter().rev().filter(|(_, thing)| process(thing));
    let others = things.iter().rev().filter(|(_, thing)| !process(thing));
    for (number, thing) in processes.chain(others) {
        match undo(thing) {
            Ok(Some(done)) => said.push(done),
            Ok(None) => {}
            Err(error) => {
                said.push(format!("{thing} is still there: {error}"));
                left.push(*number);
            }
        }
    }
    left
}

fn kill_run(run: &str, said: &mut Vec<String>) {
    for owner in carrying(RUN, run) {
        match kill(owner) {
            Ok(true) => said.push(format!("killed process {}", owner.pid)),
            Ok(false) => {}
            Err(error) => said.push(format!("process {} is still there: {error}", owner.pid)),
        }
    }
}

/// Waits for the tools that a dead owner was just running: what they make would come after it was looked for.
pub(crate) fn wait_for_tools(owner: Owner) -> Result<(), MachineError> {
    let deadline = Instant::now() + SIGNAL_WAIT_MAX;
    loop {
        let tools = carrying(TOOL_OF, &owner.to_string());
        if tools.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return tools.into_iter().try_for_each(|tool| kill(tool).map(drop));
        }
        thread::sleep(LOOK);
    }
}

/// Undoes one thing; what it did, if it was still there.
pub(crate) fn undo(thing: &Thing) -> Result<Option<String>, MachineError> {
    let done = match thing {
        Thing::Process { owner, .. } => kill(*owner)?,
        Thing::Namespace(name) => {
            let there = Path::new("/run/netns").join(name).exists();
            there && Line::words("ip netns delete").and(name).run().map(|_| true)?
        }
        Thing::Device(name) => delete_device(name)?,
        Thing::Table(name) => delete_table(name)?,
        Thing::Mount { folder, image } => unmount(folder, image)?,
        Thing::File(path) => remove_file(path)?,
        Thing::Folder(path) => removed(fs::remove_dir(path), "remove", path)?,
    };
    let name = match thing {
        Thing::Process { owner, name } => format!("killed process {} ({name})", owner.pid),
        Thing::Mount { folder, .. } => format!("unmounted {}", folder.display()),
        Thing::File(path) | Thing::Folder(path) => format!("removed {}", path.display()),
        Thing::Namespace(name) => format!("removed namespace {name}"),
        Thing::Device(name) => format!("removed device {name}"),
        Thing::Table(name) => format!("removed nftables table {name}"),
    };
    Ok(done.then_some(name))
}

/// Kills a process and waits until it is gone; whether it was there.
pub(crate) fn kill(owner: Owner) -> Result<bool, MachineError> {
    let failed =
        |error| MachineError::kernel::<Errno>(format!("kill process {}", owner.pid))(error);
    let Some(pid) = i32::try_from(owner.pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(Errno::SRCH) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    // The handle stays with the process it was opened for, so looking afterwards leaves no gap.
    if !owner.lives() {
        return Ok(false);
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Ok(()) => {}
        Err(Errno::SRCH) => return Ok(false),
        Err(error) => return Err(failed(error)),
    }
    let deadline = Instant::now() + SIGNAL_WAIT_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)) {
            Ok(0) => {
                let what = format!("process {} did not end", owner.pid);
                return Err(MachineError::Late { what, limit: SIGNAL_WAIT_MAX });
            }
            Ok(_) => {
                clock::forget(owner.pid);
                return Ok(true);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The living processes that carry this in their environment.
fn carrying(variable: &str, value: &str) -> Vec<Owner> {
    let wanted = format!("{variable}={value}");
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let carries = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    // The start time is read first: should the number be given away in between, it does not fit any more.
    let owners = pids.filter(|pid| *pid != std::process::id()).filter_map(Owner::of);
    owners.filter(|owner| carries(&owner.pid) && owner.lives()).collect()
}

fn delete_device(name: &str) -> Result<bool, MachineError> {
    let there = || Path::new("/sys/class/net").join(name).exists();
    if !there() {
        return Ok(false);
    }
    match Line::words("ip link delete").and(name).run() {
        // The other end of a pair goes by itself once a namespace goes, which takes its time.
        Err(_) if !there() => Ok(false),
        other => other.map(|_| true),
    }
}

fn delete_table(name: &str) -> Result<bool, MachineError> {
    let tables = match Line::words("nft list tables bridge").run() {
        Ok(tables) => tables,
        // Without the tool there is no table of ours.
        Err(MachineError::Start { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let wanted = format!("table bridge {name}");
    let there = tables.lines().any(|line| line.trim() == wanted);
    Ok(there && Line::words("nft delete table bridge").and(name).run().map(|_| true)?)
}

/// Removes a file that no loop device stands on: nobody would find that device again by its name.
fn remove_file(path: &Path) -> Result<bool, MachineError> {
    match loops_of(path).first() {
        Some(device) => {
            let text = format!("{} is still behind {}", path.display(), device.display());
            Err(MachineError::Refused(text))
        }
        None => removed(fs::remove_file(path), "remove", path),
    }
}

fn removed(done: io::Result<()>, doing: &'static str, path: &Path) -> Result<bool, MachineError> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(MachineError::file(doing, path)(error)),
    }
}
