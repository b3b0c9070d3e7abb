//! Client: the devices' side of a load.

pub mod crowd;
pub mod device;
pub mod net;
pub mod reader;
pub mod session;
pub mod stamp;
pub mod worker;
