//! Files and folders that survive a power cut.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// What files are called, after the dot, until they are whole.
const UNFINISHED: &str = "writing";

/// Makes the names in a folder durable.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", path))
}

/// Makes what a file holds durable.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_data()).map_err(StoreError::io("sync", path))
}

/// Puts a copy in a file's place unless all that it holds from a byte on is zero.
///
/// The kernel gives up a page that it could not write: it goes on showing what was to be written, and takes
/// it for written. A sync that comes later succeeds, and when the memory is needed or the power goes, so does
/// the page. Writing the same into the same file is not enough: ext4 may go on taking its blocks for empty.
pub(super) fn copy_unless_empty(path: &Path, from: u64) -> Result<(), StoreError> {
    let bytes = fs::read(path).map_err(StoreError::io("read", path))?;
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    let Some(last) = bytes[from..].iter().rposition(|byte| *byte != 0) else { return Ok(()) };
    put_in_place(path, |file| {
        file.write_all(&bytes[..=from + last])?;
        // What follows takes no space.
        file.set_len(bytes.len() as u64)
    })
}

/// Puts a file in place whole or not at all; when this returns, it survives a power cut.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    put_in_place(path, |file| file.write_all(bytes))
}

fn put_in_place(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let unfinished = path.with_extension(UNFINISHED);
    File::create(&unfinished)
        .and_then(|mut file| {
            write(&mut file)?;
            file.sync_data()
        })
        .map_err(StoreError::io("write", &unfinished))?;
    fs::rename(&unfinished, path).map_err(StoreError::io("rename into place", path))?;
    sync_folder(parent(path))
}

/// Whether a file is what a process left that ended while it put one in place.
pub(super) fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == UNFINISHED)
}

/// Makes a folder (not those above it) unless it is there, durably.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    match fs::create_dir(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::io("make", path)(error)),
    }
}

/// Removes a file if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder and all in it if it is there.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// What lies in a folder, in order of name.
pub(super) fn list(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths: Vec<_> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(StoreError::io("list", path))?;
    paths.sort();
    Ok(paths)
}

/// A file's bytes; `None` where there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// The folder that holds a path's name; the working directory for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
