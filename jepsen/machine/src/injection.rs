//! Injections: system calls of a running process that fail, take long or kill it, by strace.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::MachineError;
use crate::ledger::Ledger;
use crate::limits::{LOOK, TRACER_WAIT_MAX};
use crate::process::Process;

/// What happens to system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// Each fsync, fdatasync and sync_file_range fails with EIO, and nothing is synced.
    SyncFails,
    /// Each fsync, fdatasync and sync_file_range begins this much later.
    SyncSlow(Duration),
    /// Positioned writes, fallocate and ftruncate fail with ENOSPC. Other writes do not: they are also what
    /// sockets and wake-ups are made of. For a disk that is really full see [`crate::Disk::fill`].
    NoSpace,
    /// A thread's n-th fsync or fdatasync from now on kills the process instead, counted from 1 and for each
    /// thread by itself, as strace counts.
    KillAtSync {
        /// Which one.
        nth: u32,
    },
}

impl Injection {
    /// strace's two expressions: what is traced, and what is done to it.
    fn expressions(self) -> (String, String) {
        const SYNCS: &str = "fdatasync,fsync";
        // Some store waits for its pages with this one before the others.
        const ALL_SYNCS: &str = "fdatasync,fsync,sync_file_range";
        const WRITES: &str = "pwrite64,pwritev,pwritev2,fallocate,ftruncate";
        let (calls, action) = match self {
            Self::SyncFails => (ALL_SYNCS, "error=EIO".to_owned()),
            Self::SyncSlow(delay) => (ALL_SYNCS, format!("delay_enter={}", delay.as_micros())),
            Self::NoSpace => (WRITES, "error=ENOSPC".to_owned()),
            Self::KillAtSync { nth } => (SYNCS, format!("signal=SIGKILL:when={}", nth.max(1))),
        };
        (format!("trace={calls}"), format!("inject={calls}:{action}"))
    }
}

/// An injection that is in effect; dropping it ends it, and the process goes on as it was.
#[derive(Debug)]
pub struct Injected {
    tracer: Process,
    reader: Option<JoinHandle<()>>,
}

impl Injected {
    pub(crate) fn attach(process: &Process, injection: Injection) -> Result<Self, MachineError> {
        let (trace, inject) = injection.expressions();
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", "signal=none", "-e", &trace, "-e", &inject]);
        command.arg("-p").arg(process.pid().to_string());
        Self::start(process.ledger(), process, command)
    }

    fn start(
        ledger: &Arc<Ledger>,
        process: &Process,
        mut command: Command,
    ) -> Result<Self, MachineError> {
        ledger.mark(&mut command);
        command.env("LC_ALL", "C").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut tracer = Process::start(ledger, &format!("strace of {}", process.name()), command)?;
        let stderr = tracer.take_stderr();
        let (tx, rx) = channel();
        let reader = thread::Builder::new().name("strace's messages".to_owned()).spawn(move || {
            // After the first line nobody listens any more, but it must not block on a full pipe.
            pass_on(stderr, |line| {
                let _ = tx.send(line);
            });
        });
        let reader = reader.map_err(MachineError::kernel("start a thread"))?;
        attached(process, &mut tracer, &rx)?;
        Ok(Self { tracer, reader: Some(reader) })
    }

    /// Whether it is still in effect. It is not once the process has ended.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn lasts(&mut self) -> Result<bool, MachineError> {
        Ok(self.tracer.ended()?.is_none())
    }

    /// Ends it and waits until the process is let go.
    ///
    /// # Errors
    /// When strace does not let go in time; it is killed then, which also lets go.
    pub fn end(mut self) -> Result<(), MachineError> {
        self.detach()
    }

    fn detach(&mut self) -> Result<(), MachineError> {
        let done = self.let_go();
        // Ends strace if it has not ended, and with it the reader's pipe.
        self.tracer.kill()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        done
    }

    fn let_go(&mut self) -> Result<(), MachineError> {
        if self.tracer.ended()?.is_some() {
            return Ok(());
        }
        self.tracer.terminate()?;
        let deadline = Instant::now() + TRACER_WAIT_MAX;
        while self.tracer.ended()?.is_none() {
            if Instant::now() > deadline {
                let what = format!("{} did not let go", self.tracer.name());
                return Err(MachineError::Late { what, limit: TRACER_WAIT_MAX });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        let _ = self.detach();
    }
}

/// Waits until strace says that it has attached to all threads there are.
fn attached(
    process: &Process,
    tracer: &mut Process,
    lines: &Receiver<String>,
) -> Result<(), MachineError> {
    let deadline = Instant::now() + TRACER_WAIT_MAX;
    let mut said = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) if is_attached(&line, process.pid()) => return Ok(()),
            Ok(line) => said.push_str(&line),
            Err(RecvTimeoutError::Timeout) => {
                let what = format!("strace did not attach to {} ({said:?})", process.name());
                return Err(MachineError::Late { what, limit: TRACER_WAIT_MAX });
            }
            Err(RecvTimeoutError::Disconnected) => {
                tracer.kill()?;
                let text = format!("strace did not attach to {}: {}", process.name(), said.trim());
                return Err(MachineError::Refused(text));
            }
        }
    }
}

/// strace's message after the last thread: `strace: Process 12 attached with 3 threads`, or without the
/// number of threads if there is one.
fn is_attached(line: &str, pid: u32) -> bool {
    let Some(rest) = line.trim().strip_prefix(&format!("strace: Process {pid} attached")) else {
        return false;
    };
    rest.is_empty() || rest.starts_with(" with ")
}

fn pass_on(stderr: Option<ChildStderr>, mut give: impl FnMut(String)) {
    let Some(stderr) = stderr else { return };
    let mut stderr = BufReader::new(stderr);
    let mut line = String::new();
    // Lines are a few words; whatever is longer is not one of those waited for.
    while let Ok(1..) = stderr.by_ref().take(4096).read_line(&mut line) {
        give(std::mem::take(&mut line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_injection_has_its_expressions() {
        let expressions = |injection: Injection| {
            let (trace, inject) = injection.expressions();
            format!("{trace} {inject}")
        };
        assert_eq!(
            expressions(Injection::SyncFails),
            "trace=fdatasync,fsync,sync_file_range inject=fdatasync,fsync,sync_file_range:error=EIO"
        );
        assert_eq!(
            expressions(Injection::SyncSlow(Duration::from_millis(200))),
            "trace=fdatasync,fsync,sync_file_range \
             inject=fdatasync,fsync,sync_file_range:delay_enter=200000"
        );
        assert_eq!(
            expressions(Injection::KillAtSync { nth: 5 }),
            "trace=fdatasync,fsync inject=fdatasync,fsync:signal=SIGKILL:when=5"
        );
        assert!(expressions(Injection::NoSpace).ends_with(":error=ENOSPC"));
        assert!(!expressions(Injection::NoSpace).contains("write,"));
    }

    #[test]
    fn only_the_message_about_the_whole_process_counts() {
        assert!(is_attached("strace: Process 12 attached\n", 12));
        assert!(is_attached("strace: Process 12 attached with 9 threads\n", 12));
        assert!(!is_attached("strace: Process 123 attached\n", 12));
        assert!(!is_attached("strace: attach: ptrace(PTRACE_SEIZE, 12): No such process\n", 12));
    }
}
