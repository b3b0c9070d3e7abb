//! Wall clocks that are wrong: libfaketime, with an offset that can be changed while the process runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::MachineError;

/// Where Debian and its relatives put the library, by architecture, and where others do.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The wall clock of one process. The monotonic clock and timers stay right: a runtime whose monotonic clock
/// is changed hangs. Statically linked programs do not notice.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right until it is set. Its file lies in the folder.
    ///
    /// # Errors
    /// When libfaketime is not installed or the file cannot be written.
    pub fn new(folder: &Path, name: &str) -> Result<Self, MachineError> {
        let library = library().ok_or_else(|| {
            MachineError::Refused(
                "libfaketime is not installed (apt install libfaketime)".to_owned(),
            )
        })?;
        let clock = Self { library, file: folder.join(format!("{name}.clock")) };
        clock.set(0)?;
        Ok(clock)
    }

    /// Makes a process that is started with this command live by this clock.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            // Times of files come from the kernel's own clock.
            .env("NO_FAKE_STAT", "1");
    }

    /// From now on the clock is so many milliseconds ahead of the machine's, or behind if negative.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, offset_ms: i64) -> Result<(), MachineError> {
        // Whoever reads the clock meanwhile reads one offset or the other, never half of one.
        let next = self.file.with_extension("clock-next");
        fs::write(&next, offset(offset_ms)).map_err(MachineError::file("write", &next))?;
        fs::rename(&next, &self.file).map_err(MachineError::file("replace", &self.file))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// Where libfaketime is.
pub(crate) fn library() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|path| path.exists())
}

/// Removes what libfaketime keeps of a process beside it and leaves when that is killed. The next process of
/// this number would stumble over it.
pub(crate) fn forget(pid: u32) {
    for file in ["faketime_shm_", "sem.faketime_sem_"] {
        let _ = fs::remove_file(format!("/dev/shm/{file}{pid}"));
    }
}

/// An offset as libfaketime reads it: signed seconds.
fn offset(offset_ms: i64) -> String {
    let sign = if offset_ms < 0 { '-' } else { '+' };
    let ms = offset_ms.unsigned_abs();
    format!("{sign}{}.{:03}\n", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_signed_seconds() {
        assert_eq!(offset(0), "+0.000\n");
        assert_eq!(offset(1), "+0.001\n");
        assert_eq!(offset(-500), "-0.500\n");
        assert_eq!(offset(86_400_000), "+86400.000\n");
        assert_eq!(offset(-3_600_250), "-3600.250\n");
    }
}
