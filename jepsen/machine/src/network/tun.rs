//! The kernel's TUN devices: what is routed to one is read from a descriptor here, and what is written here
//! has come in there.
#![expect(unsafe_code, reason = "naming a device has no safe wrapper")]

use std::ffi::c_short;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::ioctl::{Opcode, Updater, ioctl};

use crate::MachineError;

/// Where the devices are made.
pub(crate) const CONTROL: &str = "/dev/net/tun";

/// `TUNSETIFF`, `_IOW('T', 202, int)` (linux/if_tun.h).
const SET: Opcode = 0x4004_54ca;

/// Packets of IP without any header before them.
const IFF_TUN: c_short = 0x0001;
const IFF_NO_PI: c_short = 0x1000;

/// `struct ifreq` of linux/if.h: a name with its closing zero, and a union of which the flags are read.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: c_short,
    rest: [u8; 22],
}

/// Makes a device of this name in the network namespace of the calling thread. It is gone when the file is
/// closed, by a kill too, or when the namespace it was moved to is; moving it does not close the file. Reading
/// does not wait.
pub(crate) fn open(name: &str) -> Result<File, MachineError> {
    let control = Path::new(CONTROL);
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2)");
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(control);
    let file = file.map_err(MachineError::file("open", control))?;
    let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    let room = request.name.len() - 1;
    if name.len() > room {
        return Err(MachineError::Refused(format!("{name:?} is too long for a device's name")));
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: the call reads and writes a whole `struct ifreq` behind the pointer, which `Request` is in size
    // and layout; the flags it writes back are not looked at.
    let call = unsafe { Updater::<SET, Request>::new(&mut request) };
    // SAFETY: the descriptor is that of the TUN control device, whose call this number is.
    let done = unsafe { ioctl(&file, call) };
    done.map_err(MachineError::kernel(format!("make the TUN device {name}")))?;
    Ok(file)
}

const _: () = assert!(size_of::<Request>() == 40);
