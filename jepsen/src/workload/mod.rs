//! Workloads: what is asked of the system while it is being broken.

pub mod backend;
pub mod bed;
pub mod crowd;
pub mod device;
pub mod edge;
pub mod final_reads;
pub mod life;
pub mod reader;
pub mod receipt;
pub mod stubborn;
mod tenure;
pub mod watch;
pub mod words;
pub mod writer;

use std::time::Duration;

/// How long one operation may take before its outcome counts as unknown.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long a read may take before it counts as unanswered.
pub const READ_TIMEOUT: Duration = Duration::from_secs(2);
