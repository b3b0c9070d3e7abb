//! Checks: what the control shard refuses before it looks at its state.

use orrery_model::control::{Attach, ControlRefusal, Found};

use crate::limits::{ADVERTISE_ADDRESSES_MAX, ADVERTISE_TEXT_BYTES_MAX, INSTANCE_BYTES_MAX};

pub(super) fn check_found(found: &Found) -> Result<(), ControlRefusal> {
    if found.cluster_id.is_empty() {
        return Err(ControlRefusal::Invalid("a cluster needs an id"));
    }
    let mut ids: Vec<_> = found.nodes.iter().map(|node| node.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ControlRefusal::Invalid("two nodes have one number"));
    }
    Ok(())
}

pub(super) fn check_attach(attach: &Attach) -> Result<(), ControlRefusal> {
    if attach.instance.is_empty() || attach.instance.len() > INSTANCE_BYTES_MAX {
        return Err(ControlRefusal::Invalid("an instance has 1 to 128 bytes"));
    }
    let advertise = &attach.advertise;
    if advertise.addresses.len() > ADVERTISE_ADDRESSES_MAX {
        return Err(ControlRefusal::Invalid("too many advertised addresses"));
    }
    let texts = [
        &advertise.delivery,
        &advertise.hostname,
        &advertise.region,
        &advertise.zone,
        &advertise.env,
    ];
    let mut texts = texts.into_iter().chain(&advertise.addresses);
    if texts.any(|text| text.len() > ADVERTISE_TEXT_BYTES_MAX) {
        return Err(ControlRefusal::Invalid("an advertised text is too long"));
    }
    Ok(())
}

const _: () = assert!(INSTANCE_BYTES_MAX == 128, "the refusal's text names the limit");
