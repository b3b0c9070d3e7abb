//! Ledger: what a run has made on the machine, written down before it is made, so that the next start can undo
//! what a killed run left.
//!
//! One file a run, named after the process that owns it and the start of the machine it lives in. A run whose
//! owner lives is nobody else's business; of one whose owner is dead everything is undone by whoever comes first.
//! Of one that belongs to an earlier start of the machine only files are left: numbers and names that it knew are
//! other people's by now.

pub(crate) mod mount;
pub(crate) mod owner;
pub(crate) mod record;
pub(crate) mod undo;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use self::owner::{Owner, boot};
use self::record::{Record, Thing, parse};
use crate::MachineError;
use crate::limits::{LOOK, SWEEP_WAIT_MAX};

/// Where ledgers are kept unless a test says otherwise. It does not outlive a start of the machine, and neither
/// does anything that a ledger speaks of but files.
pub const FOLDER: &str = "/run/orrery-jepsen";

/// The variable that names the run in the environment of each of its processes.
pub(crate) const RUN: &str = "ORRERY_JEPSEN_RUN";

/// Everything that one run has made.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    run: String,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: File,
    things: BTreeMap<u64, Thing>,
    next_number: u64,
}

impl Ledger {
    /// Undoes what dead owners left, and returns what that was, one line each. What could not be undone is among
    /// them and stays written down for the next time.
    ///
    /// # Errors
    /// When the ledgers cannot be read. What could be undone is.
    pub fn sweep(folder: &Path) -> Result<Vec<String>, MachineError> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(MachineError::file("read", folder)(error)),
        };
        let mut said = Vec::new();
        for entry in entries {
            let path = entry.map_err(MachineError::file("read", folder))?.path();
            if let Some(begun) = Begun::by(&path)
                && !(begun.is_of_this_boot && begun.owner.lives())
            {
                said.extend(sweep_one(&path, begun)?);
            }
        }
        Ok(said)
    }

    /// Begins a run of this process.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(folder: &Path) -> Result<Arc<Self>, MachineError> {
        static RUNS: AtomicU32 = AtomicU32::new(1);
        let this = Owner::this().ok_or_else(|| {
            MachineError::Refused("/proc does not tell when this process was started".to_owned())
        })?;
        fs::create_dir_all(folder).map_err(MachineError::file("make", folder))?;
        let run = format!("{this}-{}-{}", RUNS.fetch_add(1, Ordering::Relaxed), boot());
        let path = folder.join(format!("{run}.ledger"));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(MachineError::file("make", &path))?;
        let written = Mutex::new(Written { file, things: BTreeMap::new(), next_number: 1 });
        Ok(Arc::new(Self { path, run, written }))
    }

    /// The run's name, which no other run on this machine has.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Lets a process that is started with this command be known as one of the run.
    pub fn mark(&self, command: &mut Command) {
        command.env(RUN, &self.run);
    }

    /// Writes down what is about to be made.
    pub(crate) fn makes(self: &Arc<Self>, thing: Thing) -> Result<Made, MachineError> {
        let number = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let number = written.next_number;
            written.next_number += 1;
            let record = Record::Makes { number, thing: thing.clone() };
            written.write(&record).map_err(MachineError::file("write", &self.path))?;
            written.things.insert(number, thing);
            number
        };
        Ok(Made { ledger: self.clone(), number })
    }

    fn take(&self, number: u64) -> Option<Thing> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.things.remove(&number)
    }

    fn gone(&self, number: u64) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        // Without this line the thing is looked for in vain once more.
        let _ = written.write(&Record::Gone { number });
    }
}

impl Written {
    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        // One call, so that a line is there as a whole or is the last one.
        self.file.write_all(format!("{record}\n").as_bytes())?;
        self.file.sync_data()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let written = self.written.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (_, left) = undo::undo_all(&self.run, &written.things);
        if left.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Something that was made, as its maker holds it: dropping it undoes it.
#[derive(Debug)]
pub(crate) struct Made {
    ledger: Arc<Ledger>,
    number: u64,
}

impl Made {
    /// It is gone without our doing.
    pub(crate) fn gone(self) {
        if self.ledger.take(self.number).is_some() {
            self.ledger.gone(self.number);
        }
    }

    fn undo(&self) -> Result<(), MachineError> {
        let Some(thing) = self.ledger.take(self.number) else { return Ok(()) };
        match undo::undo(&thing) {
            Ok(_) => {
                self.ledger.gone(self.number);
                Ok(())
            }
            Err(error) => {
                let mut written =
                    self.ledger.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.things.insert(self.number, thing);
                Err(error)
            }
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What does not let itself be undone now stays in the ledger, whose end tries again.
        let _ = self.undo();
    }
}

/// Undoes all of one dead owner's ledger.
fn sweep_one(path: &Path, begun: Begun) -> Result<Vec<String>, MachineError> {
    let file = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => file,
        // Somebody else was faster.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(MachineError::file("open", path)(error)),
    };
    // Whoever goes on without waiting would make things where another one is still taking their like away.
    lock(&file, path)?;
    let about = file.metadata().map_err(MachineError::file("look at", path))?;
    if about.nlink() == 0 {
        // Somebody else was faster, and the name may be another ledger's by now.
        return Ok(Vec::new());
    }
    if begun.is_of_this_boot {
        undo::wait_for_tools(begun.owner)?;
    }
    let text = fs::read(path).map_err(MachineError::file("read", path))?;
    let (mut things, strange) = parse(&String::from_utf8_lossy(&text));
    let (mut said, left) = match begun.is_of_this_boot {
        true => undo::undo_all(&path.file_stem().unwrap_or_default().to_string_lossy(), &things),
        false => {
            things.retain(|_, thing| thing.outlives_the_machine());
            let mut said = Vec::new();
            let left = undo::undo_things(&things, &mut said);
            (said, left)
        }
    };
    let not_understood =
        strange.iter().map(|line| format!("{}: not understood: {line}", path.display()));
    said.extend(not_understood);
    if left.is_empty() && strange.is_empty() {
        fs::remove_file(path).map_err(MachineError::file("remove", path))?;
    } else {
        // What was undone must not be undone again later: somebody living may have made its like by then.
        let lines = left.iter().filter_map(|number| {
            let thing = things.get(number)?.clone();
            Some(Record::Makes { number: *number, thing }.to_string())
        });
        let text: String = lines.chain(strange).map(|line| line + "\n").collect();
        let next = path.with_extension("next");
        fs::write(&next, text).map_err(MachineError::file("write", &next))?;
        fs::rename(&next, path).map_err(MachineError::file("replace", path))?;
    }
    // Closing alone would not do: a process being started may hold the file for a moment.
    let _ = flock(&file, FlockOperation::Unlock);
    Ok(said)
}

/// Waits until nobody else undoes what this ledger says.
fn lock(file: &File, path: &Path) -> Result<(), MachineError> {
    let deadline = Instant::now() + SWEEP_WAIT_MAX;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOOK),
            Err(Errno::WOULDBLOCK) => {
                let what = format!("{} is still being undone by somebody else", path.display());
                return Err(MachineError::Late { what, limit: SWEEP_WAIT_MAX });
            }
            Err(error) => return Err(MachineError::file("lock", path)(error.into())),
        }
    }
}

/// Whose ledger a file is, by its name.
#[derive(Clone, Copy, Debug)]
struct Begun {
    owner: Owner,
    /// Its owner may live, and its numbers and names may still be its own.
    is_of_this_boot: bool,
}

impl Begun {
    fn by(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".ledger")?;
        let mut parts = name.split('-');
        let pid = parts.next()?.parse().ok()?;
        let started = parts.next()?.parse().ok()?;
        let _number: u32 = parts.next()?.parse().ok()?;
        let is_of_this_boot = parts.next()? == boot();
        parts.next().is_none().then_some(Self { owner: Owner { pid, started }, is_of_this_boot })
    }
}
