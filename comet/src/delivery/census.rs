//! Census: connections, remote addresses and members by room of this comet, in pages.

use orrery_proto::delivery::{CensusPage, RoomCount};

use crate::comet::Comet;
use crate::limits::CENSUS_PAGE;

/// All pages, at least one. Only rooms of the default namespace have a name here.
pub(super) fn pages(comet: &Comet) -> Vec<CensusPage> {
    let incarnation = comet.presence.incarnation().unwrap_or_default().0;
    let rooms: Vec<RoomCount> = comet
        .presence
        .census()
        .into_iter()
        .filter(|(room, _)| room.namespace.is_none())
        .map(|(room, members)| RoomCount {
            room: room.id.as_str().to_owned(),
            count: u32::try_from(members).unwrap_or(u32::MAX),
        })
        .collect();
    let mut pages: Vec<CensusPage> = rooms
        .chunks(CENSUS_PAGE)
        .map(|rooms| CensusPage { incarnation, rooms: rooms.to_vec(), ..CensusPage::default() })
        .collect();
    if pages.is_empty() {
        pages.push(CensusPage { incarnation, ..CensusPage::default() });
    }
    pages[0].connections = comet.metrics.connections();
    pages[0].ips = comet.admission.remotes() as u64;
    pages
}
