//! A process of the run: started in a group of its own, stopped, continued and killed.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::ledger::owner::Owner;
use crate::ledger::record::Thing;
use crate::ledger::{Ledger, Made};
use crate::limits::{LOOK, SIGNAL_WAIT_MAX};
use crate::{Injected, Injection, MachineError, clock, tool};

/// A child process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    owner: Owner,
    child: Child,
    status: Option<ExitStatus>,
    /// Until it has ended.
    made: Option<Made>,
    ledger: Arc<Ledger>,
}

impl Process {
    /// Starts it with an empty standard input; what it prints is added to the log.
    ///
    /// It is not tied to the life of the thread that starts it, as a signal at the parent's death would: if this
    /// process is killed, the next sweep ends it.
    ///
    /// # Errors
    /// When the log cannot be opened or the program does not start.
    pub fn spawn(
        ledger: &Arc<Ledger>,
        name: &str,
        mut command: Command,
        log: &Path,
    ) -> Result<Self, MachineError> {
        let out = OpenOptions::new().create(true).append(true).open(log);
        let out = out.map_err(MachineError::file("open", log))?;
        let error = out.try_clone().map_err(MachineError::file("open", log))?;
        ledger.mark(&mut command);
        command.stdin(Stdio::null()).stdout(out).stderr(error).process_group(0);
        Self::start(ledger, name, command)
    }

    /// Starts what already knows where it reads and writes.
    pub(crate) fn start(
        ledger: &Arc<Ledger>,
        name: &str,
        mut command: Command,
    ) -> Result<Self, MachineError> {
        let turn = tool::turn();
        let mut child = command.spawn().map_err(|source| MachineError::Start {
            line: command.get_program().display().to_string(),
            source,
        })?;
        drop(turn);
        // Until it is written down it is known by its environment. It stays at least as a zombie until waited for.
        let owner = Owner::of(child.id());
        let made = owner.map_or_else(
            || Err(MachineError::Refused(format!("/proc does not show process {}", child.id()))),
            |owner| Ok((owner, ledger.makes(Thing::Process { owner, name: name.to_owned() })?)),
        );
        match made {
            Ok((owner, made)) => Ok(Self {
                name: name.to_owned(),
                owner,
                child,
                status: None,
                made: Some(made),
                ledger: ledger.clone(),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its name in the run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, which is the program's own.
    pub fn pid(&self) -> u32 {
        self.owner.pid
    }

    pub(crate) fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, MachineError> {
        if self.status.is_none() {
            let waited = self.child.try_wait();
            self.status =
                waited.map_err(MachineError::kernel(format!("wait for {}", self.name)))?;
            if self.status.is_some()
                && let Some(made) = self.made.take()
            {
                made.gone();
                clock::forget(self.owner.pid);
            }
        }
        Ok(self.status)
    }

    /// Kills it and all of its group with SIGKILL, and waits until it has ended. Nothing happens to one that has
    /// ended by itself; [`Process::ended`] tells which.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn kill(&mut self) -> Result<(), MachineError> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        let deadline = Instant::now() + SIGNAL_WAIT_MAX;
        while self.ended()?.is_none() {
            if Instant::now() > deadline {
                let what = format!("{} did not end after SIGKILL", self.name);
                return Err(MachineError::Late { what, limit: SIGNAL_WAIT_MAX });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Stops it where it is and waits until it stands still.
    ///
    /// # Errors
    /// When it has ended, or does not stop in time.
    pub fn stop(&self) -> Result<(), MachineError> {
        self.signal(Signal::STOP)?;
        let deadline = Instant::now() + SIGNAL_WAIT_MAX;
        loop {
            match self.owner.state() {
                // A traced one is shown as such.
                Some('T' | 't') => return Ok(()),
                None | Some('Z' | 'X') => {
                    return Err(MachineError::Refused(format!("{} has ended", self.name)));
                }
                _ if Instant::now() > deadline => {
                    let what = format!("{} did not stop", self.name);
                    return Err(MachineError::Late { what, limit: SIGNAL_WAIT_MAX });
                }
                _ => thread::sleep(LOOK),
            }
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn go_on(&self) -> Result<(), MachineError> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// When it has ended.
    pub fn terminate(&self) -> Result<(), MachineError> {
        self.signal(Signal::TERM)
    }

    /// Attaches strace, which injects into all of its threads and those to come. It makes every system call of
    /// the process slower while it lasts. One at a time.
    ///
    /// # Errors
    /// When strace is not there or cannot attach, for instance because another one has.
    pub fn inject(&self, injection: Injection) -> Result<Injected, MachineError> {
        Injected::attach(self, injection)
    }

    fn signal(&self, signal: Signal) -> Result<(), MachineError> {
        // Its number is its own until it is waited for.
        if self.status.is_some() {
            return Err(MachineError::Refused(format!("{} has ended", self.name)));
        }
        let pid = i32::try_from(self.owner.pid).ok().and_then(Pid::from_raw);
        let pid = pid.expect("the kernel's own number");
        let doing = format!("signal {}", self.name);
        kill_process_group(pid, signal).map_err(MachineError::kernel(doing))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What does not end stays in the ledger.
        let _ = self.kill();
    }
}
