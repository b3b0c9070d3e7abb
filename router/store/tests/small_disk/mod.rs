//! A file system of a few megabytes that can be filled to the last byte.
#![allow(dead_code, reason = "each test uses its own part")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _, stderr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

const BYTES: u64 = 16 << 20;

/// A process that is being started holds for a moment whatever files its parent has open, locks and removed
/// files too: nobody may mount while another test opens and closes a store.
static TURN: Mutex<()> = Mutex::new(());

/// A mounted file system; dropping it unmounts it.
pub(crate) struct SmallDisk {
    folder: TempDir,
    /// Where it is mounted, once it is.
    mounted: bool,
    /// Given on when it is unmounted.
    _turn: Option<MutexGuard<'static, ()>>,
    /// The file that it is on, if a test asks for it.
    image: Option<PathBuf>,
}

impl SmallDisk {
    /// In memory.
    pub(crate) fn in_memory() -> Option<Self> {
        let size = format!("size={BYTES}");
        Self::mount(|_| vec!["-t".into(), "tmpfs".into(), "-o".into(), size, "tmpfs".into()])
    }

    /// On a file, as ext4, which promises space before it has found it.
    pub(crate) fn ext4() -> Option<Self> {
        Self::mount(|folder| {
            let image = folder.join("image");
            File::create(&image).unwrap().set_len(BYTES).unwrap();
            let image = image.to_str().unwrap().to_owned();
            // If this fails, so does mounting, which says so.
            let _ = run("mkfs.ext4", &["-q", "-m", "0", &image]);
            vec!["-o".into(), "loop".into(), image]
        })
    }

    /// As ext4 on a file in memory: the disk that holds the file, and this one.
    pub(crate) fn ext4_in_memory() -> Option<(Self, Self)> {
        let ground = Self::in_memory()?;
        let image = ground.path().join("image");
        File::create(&image).unwrap().set_len(BYTES * 3 / 4).unwrap();
        run("mkfs.ext4", &["-q", "-b", "4096", "-m", "0", image.to_str().unwrap()]).unwrap();
        // All of it has its place in memory now, holes too.
        let bytes = fs::read(&image).unwrap();
        fs::write(&image, bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mounted")).unwrap();
        let mut disk = Self { folder, mounted: false, image: Some(image), _turn: None };
        disk.mount_again();
        Some((ground, disk))
    }

    /// Gives the place of what is free back to the disk that holds the file.
    pub(crate) fn trim(&self) {
        run("fstrim", &[self.path().to_str().unwrap()]).unwrap();
    }

    /// Forgets all that is not on the disk.
    pub(crate) fn mount_again(&mut self) {
        let (path, image) = (self.path(), self.image.clone().unwrap());
        let (path, image) = (path.to_str().unwrap(), image.to_str().unwrap());
        if std::mem::take(&mut self.mounted) {
            run("umount", &[path]).unwrap();
        }
        run("mount", &["-o", "loop", image, path]).unwrap();
        self.mounted = true;
        // A loop device takes a write that was cut short for a whole one. One page is never cut.
        let device = said("findmnt", &["-n", "-o", "SOURCE", path]).unwrap();
        let device = Path::new(&device).file_name().unwrap().to_str().unwrap();
        fs::write(format!("/sys/block/{device}/queue/max_sectors_kb"), "4").unwrap();
    }

    fn mount(options: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(folder.path());
        let mut disk = Self { folder, mounted: false, image: None, _turn: Some(turn) };
        fs::create_dir(disk.path()).unwrap();
        options.push(disk.path().to_str().unwrap().to_owned());
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        match run("mount", &options) {
            Ok(()) => disk.mounted = true,
            Err(reason) => {
                // Past the test framework, which keeps what a test that passes prints to itself.
                let skipped = format!("SKIPPED, nothing was tested: mount {options:?}: {reason}\n");
                let _ = stderr().write_all(skipped.as_bytes());
                return None;
            }
        }
        Some(disk)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Takes all space but about `left` bytes.
    pub(crate) fn fill(&self, left: u64) {
        let reserved = self.path().join("reserved");
        if left > 0 {
            let mut file = File::create(&reserved).unwrap();
            file.write_all(&vec![7; left as usize]).and_then(|()| file.sync_all()).unwrap();
        }
        let mut filler = File::create(self.path().join("filler")).unwrap();
        let mut chunk = 1 << 20;
        while chunk > 0 {
            match filler.write(&vec![7; chunk]).and_then(|count| {
                filler.sync_all()?;
                Ok(count)
            }) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => chunk /= 4,
                Err(error) => panic!("{error}"),
            }
        }
        drop(filler);
        if left > 0 {
            fs::remove_file(reserved).unwrap();
        }
    }

    /// Gives all space back.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let path = self.path();
            let _ = run("umount", &["--lazy", path.to_str().unwrap()]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    said(program, arguments).map(drop)
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
