//! A disk of a node's own: an ext4 file system in a file, which can lose its power, be full, and be new.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs, syncfs};
use rustix::io::Errno;

use crate::ledger::mount::unmount;
use crate::ledger::record::Thing;
use crate::ledger::{Ledger, Made};
use crate::limits::DISK_BYTES_MIN;
use crate::shutdown::shutdown;
use crate::tool::Line;
use crate::{MachineError, network};

/// What takes the space of a full disk.
const FILLER: &str = ".filler";

/// A mounted file system; dropping it removes all of it. Its folder also holds `lost+found` and, while it is
/// full, `.filler`: data belongs into a folder of its own below.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    image: PathBuf,
    bytes: u64,
    /// Held by whoever changes it. What was made, in the order in which it is undone.
    made: Mutex<Option<[Made; 3]>>,
}

impl Disk {
    /// Makes a file system of so many bytes and mounts it at `folder/name`; the image lies beside it and takes
    /// only the space that is used.
    ///
    /// # Errors
    /// When the name or size will not do, or a tool fails, which it does without the rights to mount.
    pub fn new(
        ledger: &Arc<Ledger>,
        folder: &Path,
        name: &str,
        bytes: u64,
    ) -> Result<Self, MachineError> {
        network::check_name(name)?;
        if bytes < DISK_BYTES_MIN {
            let text =
                format!("a disk of {bytes} bytes is too small, {DISK_BYTES_MIN} is the least");
            return Err(MachineError::Refused(text));
        }
        // Tables of mounts and loop devices speak of the real path.
        let folder = folder.canonicalize().map_err(MachineError::file("find", folder))?;
        let image = folder.join(format!("{name}.image"));
        let folder = folder.join(name);
        let file = ledger.makes(Thing::File(image.clone()))?;
        let point = ledger.makes(Thing::Folder(folder.clone()))?;
        fs::create_dir(&folder).map_err(MachineError::file("make", &folder))?;
        format(&image, bytes)?;
        let mount_made =
            ledger.makes(Thing::Mount { folder: folder.clone(), image: image.clone() })?;
        mount(&image, &folder)?;
        let made = Mutex::new(Some([mount_made, point, file]));
        Ok(Self { folder, image, bytes, made })
    }

    /// The folder in which it is mounted.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Cuts its power: from now on each call on it fails, and what was not synced before is lost.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut(&self) -> Result<(), MachineError> {
        let _turn = self.turn();
        shutdown(&self.folder)
    }

    /// Gives it power again: mounts it anew, which replays its journal. Whoever used it must have been killed.
    ///
    /// # Errors
    /// When somebody still uses it, or the file system cannot be mounted any more.
    pub fn restore(&self) -> Result<(), MachineError> {
        let _turn = self.turn();
        unmount(&self.folder, &self.image)?;
        mount(&self.image, &self.folder)
    }

    /// Takes all space that is left.
    ///
    /// # Errors
    /// When the file system fails in another way than by being full.
    pub fn fill(&self) -> Result<(), MachineError> {
        let _turn = self.turn();
        let path = self.folder.join(FILLER);
        let failed = |error: Errno| MachineError::file("fill", &path)(error.into());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.map_err(MachineError::file("make", &path))?;
        let space = fstatvfs(&file).map_err(failed)?;
        let taken = file.metadata().map_err(MachineError::file("measure", &path))?.len();
        let free = space.f_bavail * space.f_frsize;
        if free > 0 {
            match fallocate(&file, FallocateFlags::empty(), 0, taken + free) {
                Ok(()) | Err(Errno::NOSPC) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        // What allocation leaves, byte by byte at last: it keeps some blocks for its own tables.
        let mut chunk = 1 << 20;
        while chunk > 0 {
            match file.write(&vec![7; chunk]).and_then(|count| file.sync_data().map(|()| count)) {
                Ok(1..) => {}
                Ok(0) => chunk /= 4,
                Err(error) if error.kind() == ErrorKind::StorageFull => chunk /= 4,
                Err(error) => return Err(MachineError::file("fill", &path)(error)),
            }
        }
        Ok(())
    }

    /// Gives back the space that [`Disk::fill`] took; nothing happens if it took none.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn free(&self) -> Result<(), MachineError> {
        let _turn = self.turn();
        let path = self.folder.join(FILLER);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(MachineError::file("remove", &path))?,
        }
        // Freed blocks may be used again only once the journal says that they are free.
        let folder = File::open(&self.folder).map_err(MachineError::file("open", &self.folder))?;
        syncfs(&folder).map_err(|error| MachineError::file("sync", &self.folder)(error.into()))
    }

    /// Makes it a new disk without anything on it. Whoever used it must have been killed.
    ///
    /// # Errors
    /// When somebody still uses it, or a tool fails.
    pub fn wipe(&self) -> Result<(), MachineError> {
        let _turn = self.turn();
        unmount(&self.folder, &self.image)?;
        format(&self.image, self.bytes)?;
        mount(&self.image, &self.folder)
    }

    fn turn(&self) -> MutexGuard<'_, Option<[Made; 3]>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty file system in a new file.
fn format(image: &Path, bytes: u64) -> Result<(), MachineError> {
    match fs::remove_file(image) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(MachineError::file("remove", image)(error));
        }
        _ => {}
    }
    let file = File::create_new(image).map_err(MachineError::file("make", image))?;
    file.set_len(bytes).map_err(MachineError::file("enlarge", image))?;
    drop(file);
    format_line(image).run().map(drop)
}

/// Nothing is kept for root, and nothing is written that is zero anyway in a file full of holes, neither now
/// nor by the kernel later.
fn format_line(image: &Path) -> Line {
    Line::words("mkfs.ext4 -q -F -b 4096 -m 0 -J size=4 -E assume_storage_prezeroed=1,nodiscard --")
        .and(image)
}

fn mount(image: &Path, folder: &Path) -> Result<(), MachineError> {
    mount_line(image, folder).run().map(drop)
}

/// Times of reading are not written.
fn mount_line(image: &Path, folder: &Path) -> Line {
    Line::words("mount -t ext4 -o loop,noatime --").and(image).and(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_spaces_are_one_argument_and_options_end_before_them() {
        let line = mount_line(Path::new("/a b/-x.image"), Path::new("/a b/-x"));
        let wanted = Line::new(
            "mount",
            ["-t", "ext4", "-o", "loop,noatime", "--", "/a b/-x.image", "/a b/-x"],
        );
        assert_eq!(line, wanted);
        assert!(format_line(Path::new("/a")).to_string().ends_with("nodiscard -- /a"));
    }
}
