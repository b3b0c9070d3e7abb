//! Mount: what is mounted where, from which image, and over which loop device; and its end.
//!
//! A folder may be somebody else's by now: only what comes from the image that was written down is unmounted.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::MachineError;
use crate::limits::{LOOK, UNMOUNT_WAIT_MAX};
use crate::tool::Line;

/// What the kernel adds to the name of a file that was removed while it is still in use.
const DELETED: &[u8] = b" (deleted)";

/// Unmounts what is mounted in this folder from this image, and lets go of the loop devices of the image.
/// Whether there was anything.
pub(crate) fn unmount(folder: &Path, image: &Path) -> Result<bool, MachineError> {
    let mut done = false;
    // Somebody may have been killed between two mounts of the same folder. Of several the last one is on top.
    while mounted(folder)?.is_some_and(|device| backing_of(&device).as_deref() == Some(image)) {
        unmount_once(folder)?;
        done = true;
    }
    for device in loops_of(image) {
        done |= detach(&device, image)?;
    }
    Ok(done)
}

/// The loop devices whose blocks are in this image, also if it has been removed since.
pub(crate) fn loops_of(image: &Path) -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/sys/block") else { return Vec::new() };
    let names = devices.flatten().map(|entry| entry.file_name());
    let loops = names.filter(|name| name.as_bytes().starts_with(b"loop"));
    let ours =
        loops.filter(|name| backing(&Path::new("/sys/block").join(name)).as_deref() == Some(image));
    ours.map(|name| Path::new("/dev").join(name)).collect()
}

fn detach(device: &Path, image: &Path) -> Result<bool, MachineError> {
    let deadline = Instant::now() + UNMOUNT_WAIT_MAX;
    loop {
        // Mounting has made it such that it goes by itself with its last user, which takes a moment.
        let detached = Line::words("losetup --detach").and(device).run();
        if !loops_of(image).iter().any(|other| other == device) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            detached?;
            let what = format!("{} was not let go", device.display());
            return Err(MachineError::Late { what, limit: UNMOUNT_WAIT_MAX });
        }
        thread::sleep(LOOK);
    }
}

fn unmount_once(folder: &Path) -> Result<(), MachineError> {
    let deadline = Instant::now() + UNMOUNT_WAIT_MAX;
    let mut pause = LOOK;
    loop {
        let error = match Line::words("umount --").and(folder).run() {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let busy = matches!(&error, MachineError::Failed { stderr, .. } if stderr.contains("busy"));
        if !busy || Instant::now() > deadline {
            return Err(error);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The number of the device that is mounted on this folder, as `/proc/self/mountinfo` writes it (proc(5)).
fn mounted(folder: &Path) -> Result<Option<String>, MachineError> {
    let table = Path::new("/proc/self/mountinfo");
    let text = fs::read(table).map_err(MachineError::file("read", table))?;
    Ok(device_on(&String::from_utf8_lossy(&text), folder))
}

fn device_on(table: &str, folder: &Path) -> Option<String> {
    let wanted = in_mountinfo(folder);
    let on = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let (device, point) = (fields.next()?, fields.nth(1)?);
        (point == wanted).then(|| device.to_owned())
    };
    // The last one is on top.
    table.lines().filter_map(on).next_back()
}

/// The image that is behind a device's number.
fn backing_of(device: &str) -> Option<PathBuf> {
    backing(&Path::new("/sys/dev/block").join(device))
}

fn backing(folder: &Path) -> Option<PathBuf> {
    let mut bytes = fs::read(folder.join("loop/backing_file")).ok()?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    let name = bytes.strip_suffix(DELETED).unwrap_or(&bytes).to_vec();
    Some(OsString::from_vec(name).into())
}

/// A path as `/proc/PID/mountinfo` writes it: four characters are escaped (proc(5)).
fn in_mountinfo(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_on_a_folder_is_the_one_that_was_mounted_last() {
        let table = "36 35 98:0 / / rw,noatime - ext4 /dev/root rw\n\
                     40 36 7:1 / /a\\040b rw - ext4 /dev/loop1 rw\n\
                     41 36 7:2 / /a\\040b rw - ext4 /dev/loop2 rw\n\
                     42 36 7:3 / /a\\040b/c rw - ext4 /dev/loop3 rw\n";
        assert_eq!(device_on(table, Path::new("/a b")).as_deref(), Some("7:2"));
        assert_eq!(device_on(table, Path::new("/a")), None);
        assert_eq!(device_on(table, Path::new("/")).as_deref(), Some("98:0"));
    }

    #[test]
    fn an_image_that_was_removed_is_known_by_the_name_it_had() {
        let folder = std::env::temp_dir().join(format!("jepsen-backing-{}", std::process::id()));
        fs::create_dir_all(folder.join("loop")).unwrap();
        for told in ["/a/x.image\n", "/a/x.image (deleted)\n", "/a/x.image"] {
            fs::write(folder.join("loop/backing_file"), told).unwrap();
            assert_eq!(backing(&folder), Some("/a/x.image".into()), "{told:?}");
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(backing(&folder), None);
    }
}
