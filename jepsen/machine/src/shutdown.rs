//! The file system's own power cut: ext4's shutdown call, which XFS knows by the same number.
#![expect(unsafe_code, reason = "the call has no safe wrapper")]

use std::fs::File;
use std::path::Path;

use rustix::ioctl::{Opcode, Setter, ioctl};

use crate::MachineError;

/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)` (fs/ext4/ext4.h).
const SHUTDOWN: Opcode = 0x8004_587d;

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: the journal is not flushed before.
const WITHOUT_FLUSH: u32 = 2;

/// Every call on the file system that is mounted here fails from now on, and what was not synced is lost.
pub(crate) fn shutdown(folder: &Path) -> Result<(), MachineError> {
    let file = File::open(folder).map_err(MachineError::file("open", folder))?;
    // SAFETY: the call reads one u32 behind the pointer, which is what `Setter` hands it, and keeps nothing.
    let call = unsafe { Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH) };
    // SAFETY: the descriptor is open; a file system that does not know the number refuses it.
    let done = unsafe { ioctl(&file, call) };
    done.map_err(MachineError::kernel(format!("shut down the file system of {}", folder.display())))
}
